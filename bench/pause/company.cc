// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "bench/pause/company.h"

#include <chrono>
#include <cstdlib>

namespace pause_bench {
namespace {

constexpr int k_frames = 10;
constexpr int k_list = 16;
constexpr auto k_gap = std::chrono::milliseconds(10);

struct link {
  cairn::gc_ptr<link> next;
  std::size_t number = 0;
};

cairn::gc_ptr<link> make_list() {
  cairn::gc_ptr<link> first;
  for (std::size_t i = 0; i < k_list; ++i) {
    auto one = cairn::make_gc<link>();
    one->next = first;
    one->number = i;
    first = one;
  }
  return first;
}

std::size_t sum_of(cairn::gc_ptr<link> first) {
  std::size_t sum = 0;
  for (; first != nullptr; first = first->next) sum += first->number;
  return sum;
}

}  // namespace

// Each frame has an object of its own.
void company::park_at_depth(int frames) {
  const cairn::gc_ptr<link> own = cairn::make_gc<link>();
  if (frames > 1) {
    park_at_depth(frames - 1);
  } else {
    arriving_.done();
    end_.recv();
  }
  cairn::keep_alive(own);
}

void company::run(std::size_t number) {
  cairn::gc_ptr<link> list = make_list();
  arriving_.done();
  // Spread over the gap, so that they do not come all at once.
  cairn::sleep_for(k_gap * (number % 100) / 100);
  while (!over_.load(std::memory_order_relaxed)) {
    if (fresh_.load(std::memory_order_relaxed)) list = make_list();
    if (sum_of(list) != k_list * (k_list - 1) / 2) std::abort();
    rounds_.fetch_add(1, std::memory_order_relaxed);
    cairn::sleep_for(k_gap);
  }
}

company::company(std::size_t parked, std::size_t running) : end_(cairn::make_chan<void>()) {
  try {
    for (std::size_t i = 0; i < parked + running; ++i) {
      arriving_.add();
      const bool parks = i < parked;
      try {
        all_.go([this, parks, i] { parks ? park_at_depth(k_frames) : run(i); });
      } catch (...) {
        arriving_.done();
        throw;
      }
    }
  } catch (...) {
    over_ = true;
    end_.close();
    all_.wait();
    throw;
  }
  arriving_.wait();
}

company::~company() {
  over_ = true;
  end_.close();
  all_.wait();
}

}  // namespace pause_bench
