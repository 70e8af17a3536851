// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// pause: what a program feels of the collector. See docs/benchmarks.md.
#include "bench/pause/experiment.h"

int main(int count, char** values) { return pause_bench::pause_main({values, values + count}); }
