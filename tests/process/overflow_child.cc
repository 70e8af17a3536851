// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Built with -fno-stack-clash-protection (CMakeLists.txt): a frame is only touched where the program touches it.
#include "process/overflow_scenes.h"
