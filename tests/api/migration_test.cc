// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// What goes with a goroutine to another thread, and what stays behind. In each test a goroutine does change
// threads: what it sees is asked for in functions that are called after that, as the tutorial asks of programs.
#include <gtest/gtest.h>
#include <locale.h>
#include <unistd.h>

#include <exception>
#include <iomanip>
#include <locale>
#include <sstream>
#include <stdexcept>
#include <string>

#include "api/procs.h"

namespace {

using namespace cairn_test;
using namespace std::chrono_literals;
using cairn::sync::wait_group;

// A program on four Ps, on two of which goroutines come and go all the time, so that others' places are taken.
template <class F>
void among_others(F f) {
  on_procs(4, [&] {
    std::atomic<bool> stop{false};
    wait_group all;
    for (int i = 0; i < 2; ++i)
      all.go([&] {
        while (!stop) {
          cairn::go([] {});
          cairn::sleep_for(10us);
        }
      });
    f();
    stop = true;
    all.wait();
  });
}

// The calling goroutine goes on on another thread.
[[nodiscard]] bool move() {
  const pid_t thread = gettid();
  for (patience left; !left.is_over();) {
    cairn::sleep_for(20us);
    if (gettid() != thread) return true;
  }
  return false;
}

TEST(Migration, ErrnoComesAlong) {
  among_others([] {
    for (int i = 1; i <= 20; ++i) {
      set_errno(i);
      ASSERT_TRUE(move());
      ASSERT_EQ(get_errno(), i);
    }
  });
}

TEST(Migration, AnExceptionThatIsBeingHandledComesAlong) {
  among_others([] {
    for (int i = 0; i < 20; ++i) {
      const std::string text = "number " + std::to_string(i);
      std::string outer, inner;
      try {
        try {
          throw std::runtime_error(text);
        } catch (const std::exception& e) {
          ASSERT_TRUE(move());
          EXPECT_EQ(std::uncaught_exceptions(), 0);
          inner = e.what();
          try {
            throw 17;
          } catch (int) {
            ASSERT_TRUE(move());
          }
          throw;
        }
      } catch (const std::runtime_error& e) {
        ASSERT_TRUE(move());
        outer = e.what();
      }
      EXPECT_EQ(inner, text);
      EXPECT_EQ(outer, text);
      EXPECT_EQ(std::current_exception(), nullptr);
    }
  });
}

TEST(Migration, AnExceptionInFlightComesAlongWithTheDestructorThatItRuns) {
  struct mover {
    int& in_flight;
    bool& has_moved;
    ~mover() {
      has_moved = move();
      in_flight = std::uncaught_exceptions();
    }
  };
  among_others([] {
    for (int i = 0; i < 20; ++i) {
      int in_flight = -1, caught = -1;
      bool has_moved = false;
      try {
        const mover m{in_flight, has_moved};
        throw i;
      } catch (int value) {
        caught = value;
      }
      ASSERT_TRUE(has_moved);
      EXPECT_EQ(in_flight, 1);
      EXPECT_EQ(caught, i);
      EXPECT_EQ(std::uncaught_exceptions(), 0);
    }
  });
}

// Groups of three digits.
class groups_of_three : public std::numpunct<char> {
  char do_thousands_sep() const override { return '\''; }
  std::string do_grouping() const override { return "\3"; }
};

TEST(Migration, AStreamKeepsItsFormatAndItsLocale) {
  among_others([] {
    for (int i = 0; i < 20; ++i) {
      std::ostringstream out;
      out.imbue(std::locale(std::locale::classic(), new groups_of_three));
      out << std::hex << std::showbase << 255 << ' ';
      ASSERT_TRUE(move());
      out << 4096 << ' ' << std::dec << 1'000'000 + i << ' ' << std::fixed << std::setprecision(3);
      ASSERT_TRUE(move());
      out << 1.5;
      EXPECT_EQ(out.str(),
                "0xff 0x1'000 1'000'0" + std::string(i < 10 ? "0" : "") + std::to_string(i) + " 1.500");
      std::istringstream in("12 0x1f nothing 7");
      int first = 0, second = 0;
      in >> first;
      ASSERT_TRUE(move());
      in >> std::hex >> second;
      EXPECT_EQ(first, 12);
      EXPECT_EQ(second, 31);
      EXPECT_FALSE(in >> first);
      ASSERT_TRUE(move());
      in.clear();
      std::string word;
      EXPECT_TRUE(in >> word >> first);
      EXPECT_EQ(word + std::to_string(first), "nothing7");
    }
  });
}

// Of the thread, as every thread-local variable is.
[[gnu::noinline]] locale_t locale_of_thread() {
  asm volatile("" ::: "memory");
  return uselocale(nullptr);
}

TEST(Migration, TheLocaleOfAThreadStaysWithIt) {
  const locale_t own = newlocale(LC_ALL_MASK, "C", nullptr);
  ASSERT_NE(own, nullptr);
  among_others([own] {
    std::atomic<bool> stop{false};
    std::atomic<int> seen_elsewhere{0};
    wait_group all;
    for (int i = 0; i < 4; ++i)
      all.go([&] {
        while (!stop) {
          if (locale_of_thread() == own) ++seen_elsewhere;
          cairn::sleep_for(20us);
        }
      });
    cairn::spawn([own] {
      const cairn::lock_os_thread locked;
      uselocale(own);
      for (int i = 0; i < 200; ++i) {
        cairn::sleep_for(20us);
        EXPECT_EQ(locale_of_thread(), own);
        cairn::spawn([] {}).get();
        EXPECT_EQ(locale_of_thread(), own);
      }
      uselocale(LC_GLOBAL_LOCALE);
    }).get();
    stop = true;
    all.wait();
    EXPECT_EQ(seen_elsewhere, 0);
  });
  freelocale(own);
}

thread_local pid_t t_thread = 0;
[[gnu::noinline]] pid_t noted_thread() {
  asm volatile("" ::: "memory");
  if (t_thread == 0) t_thread = gettid();
  return t_thread;
}

TEST(Migration, AFunctionCalledAfterAParkSeesTheVariablesOfTheThreadThatItRunsOn) {
  among_others([] {
    for (int i = 0; i < 50; ++i) {
      const pid_t before = noted_thread();
      EXPECT_EQ(before, gettid());
      ASSERT_TRUE(move());
      EXPECT_NE(noted_thread(), before);
      EXPECT_EQ(noted_thread(), gettid());
    }
  });
}

}  // namespace
