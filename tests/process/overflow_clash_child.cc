// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Built with -fstack-clash-protection (CMakeLists.txt), which the exported target gives to programs.
#include "process/overflow_scenes.h"
