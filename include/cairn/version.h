// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The version of the library. CMake reads it from here; nothing else states it.
#pragma once

#define CAIRN_VERSION_MAJOR 0
#define CAIRN_VERSION_MINOR 1
#define CAIRN_VERSION_PATCH 0
// major * 10000 + minor * 100 + patch
#define CAIRN_VERSION 100
