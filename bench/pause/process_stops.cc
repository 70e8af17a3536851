// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "bench/pause/process_stops.h"

#include <atomic>
#include <csignal>

namespace pause_bench {
namespace {

std::atomic<unsigned> g_stops{0};  // only a count: orders nothing

}  // namespace

void count_process_stops() {
  struct sigaction action {};
  action.sa_handler = [](int) { g_stops.fetch_add(1, std::memory_order_relaxed); };
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGCONT, &action, nullptr);
}

unsigned process_stops() { return g_stops.load(std::memory_order_relaxed); }

}  // namespace pause_bench
