// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// How often the process was stopped and continued by job control (SIGSTOP, a terminal's ^Z).
// To its threads that looks exactly like a long pause, so a report must say that it happened.
#pragma once

namespace pause_bench {

// Counts from now on: takes SIGCONT.
void count_process_stops();
unsigned process_stops();

}  // namespace pause_bench
