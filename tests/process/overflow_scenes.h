// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Programs that run past the end of a goroutine's stack. Built twice, as overflow_child and
// overflow_clash_child: without and with -fstack-clash-protection, which touches every page of a large frame.
#pragma once
#include <cairn/cairn.h>

#include <array>
#include <cstddef>
#include <thread>

#include "api/procs.h"
#include "process/child.h"

namespace overflow {

using namespace cairn_test;
using namespace std::chrono_literals;

// Recursion without end, with frames of a bit more than Bytes, of which only the ends are touched.
template <std::size_t Bytes>
[[gnu::noinline]] int recurse(int depth) {
  std::array<volatile char, Bytes> frame;
  frame[0] = static_cast<char>(depth);
  asm volatile("" : : "r"(frame.data()) : "memory");
  const int below = depth < 1'000'000 ? recurse<Bytes>(depth + 1) : 0;
  frame[Bytes - 1] = 1;
  return below + frame[0] + frame[Bytes - 1];
}

inline void print_id() {
  std::printf("%llu\n", static_cast<unsigned long long>(cairn::goroutine_id()));
  std::fflush(stdout);
}

template <std::size_t Bytes>
int in_a_goroutine() {
  return cairn::run([] {
    cairn::spawn([] {
      print_id();
      return recurse<Bytes>(0);
    }).get();
    return 0;
  });
}
inline int in_main() {
  return cairn::run([] {
    print_id();
    return recurse<100>(0) != 0;
  });
}
// In one that has parked and may have moved.
inline int after_parks() {
  return on_procs(2, [] {
    cairn::spawn([] {
      for (int i = 0; i < 10; ++i) park_in_all_ways();
      print_id();
      return recurse<1000>(0);
    }).get();
    return 0;
  });
}
inline int beside_collections() {
  return on_procs(2, [] {
    collections back_to_back;
    back_to_back.await(3);
    cairn::spawn([] {
      cairn::keep_alive(make_list(1, 100));
      print_id();
      return recurse<200>(0);
    }).get();
    return 0;
  });
}
inline int in_blocking() {
  return cairn::run([] {
    cairn::spawn([] {
      print_id();
      return cairn::blocking([] { return recurse<500>(0); });
    }).get();
    return 0;
  });
}
inline int on_a_small_stack() {
  return cairn::run(
      [] {
        cairn::spawn([] {
          print_id();
          return recurse<500>(0);
        }).get();
        return 0;
      },
      {.stack_size = std::size_t{64} << 10});
}
// Deep, but within the stack's size.
[[gnu::noinline]] inline int use_stack(std::size_t bytes) {
  char here[512];
  asm volatile("" : : "r"(here) : "memory");
  const int below = bytes > sizeof here + 200 ? use_stack(bytes - sizeof here - 200) : 0;
  here[0] = 1;
  asm volatile("" : : "r"(here) : "memory");
  return below + here[0];
}
inline int most_of_it_may_be_used() {
  return cairn::run([] {
    for (int i = 0; i < 20; ++i)
      EXPECT_IN_CHILD(
          cairn::spawn([] { return use_stack(CAIRN_ASAN || CAIRN_TSAN ? 50'000 : 180'000); }).get() > 0);
  });
}
// More than the default, when it was asked for.
inline int a_large_stack_may_be_used() {
  return cairn::run([] { EXPECT_IN_CHILD(cairn::spawn([] { return use_stack(3'000'000); }).get() > 0); },
                    {.stack_size = std::size_t{4} << 20});
}
// A wild pointer is none.
inline int no_overflow_but_a_wild_pointer() {
  return cairn::run([] {
    cairn::spawn([] {
      static volatile std::uintptr_t nowhere = 16;
      *reinterpret_cast<volatile int*>(nowhere) = 1;
    }).get();
  });
}

}  // namespace overflow

int main(int argc, char** argv) {
  using namespace overflow;
  return process::play(argc, argv,
                       {
                           {"frames_of_100", in_a_goroutine<100>},
                           {"frames_of_4096", in_a_goroutine<4096>},
                           {"frames_of_32768", in_a_goroutine<32768>},
                           {"frames_of_1048576", in_a_goroutine<1048576>},
                           {"in_main", in_main},
                           {"after_parks", after_parks},
                           {"beside_collections", beside_collections},
                           {"in_blocking", in_blocking},
                           {"on_a_small_stack", on_a_small_stack},
                           {"most_of_it_may_be_used", most_of_it_may_be_used},
                           {"a_large_stack_may_be_used", a_large_stack_may_be_used},
                           {"no_overflow_but_a_wild_pointer", no_overflow_but_a_wild_pointer},
                       });
}
