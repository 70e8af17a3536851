// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// How much work tests do. Every loop bound and every duration that a slow machine, a sanitizer or a long run should
// change is multiplied by test_scale(), so that one setting governs all: CAIRN_TEST_SCALE, 1 in ./dev test, 10 in
// ./dev test --long, below 1 under sanitizers.
#pragma once
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>

// CAIRN_TEST_SCALE as a positive number, 1 when it is not set. Anything else ends the test program.
inline double test_scale() {
  static const double scale = [] {
    const char* text = std::getenv("CAIRN_TEST_SCALE");
    if (text == nullptr || *text == '\0') return 1.0;
    char* end = nullptr;
    double value = std::strtod(text, &end);
    if (*end != '\0' || !(value > 0 && value <= 1000)) {
      std::fprintf(stderr, "CAIRN_TEST_SCALE=%s is not a number above 0 and up to 1000\n", text);
      std::exit(2);
    }
    return value;
  }();
  return scale;
}

// `base` scaled, at least `least`.
inline std::size_t test_count(std::size_t base, std::size_t least = 1) {
  return std::max(least, static_cast<std::size_t>(static_cast<double>(base) * test_scale()));
}

// For how long a test that is bounded by time runs: `base` seconds scaled, at least one.
inline std::chrono::seconds test_seconds(double base) {
  return std::chrono::seconds(std::max<long>(1, static_cast<long>(base * test_scale() + 0.5)));
}
