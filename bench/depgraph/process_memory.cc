// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "bench/depgraph/process_memory.h"

#include <fstream>
#include <string>

namespace depgraph {
namespace {

// A line "Name:   12345 kB" of /proc/self/status, 0 where there is none.
std::size_t status_bytes(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    std::size_t kib = 0;
    if (word == name && status >> kib) return kib * 1024;
  }
  return 0;
}

}  // namespace

std::size_t reset_peak_rss() {
  std::ofstream("/proc/self/clear_refs") << "5\n";
  return status_bytes("VmRSS:");
}

std::size_t peak_rss_bytes() { return status_bytes("VmHWM:"); }

}  // namespace depgraph
