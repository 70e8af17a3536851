// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Exceptions in goroutines: what is in flight and what is caught belongs to the goroutine, wherever it continues and
// whatever others throw meanwhile on the same thread.
#include <gtest/gtest.h>

#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "api/procs.h"

namespace {

using namespace cairn_test;
using namespace std::chrono_literals;
using cairn::sync::wait_group;

// Others that throw and catch all the time, so that the thread's own exception state changes at every park.
class throwers {
 public:
  explicit throwers(int n) {
    for (int i = 0; i < n; ++i)
      all_.go([this] {
        while (!stop_) {
          try {
            cairn::yield();
            throw 17;
          } catch (int value) {
            cairn::yield();
            if (value != 17 || std::uncaught_exceptions() != 0) ++wrong_;
          }
        }
      });
  }
  ~throwers() { end(); }
  int end() {
    stop_ = true;
    all_.wait();
    return wrong_;
  }

 private:
  std::atomic<bool> stop_{false};
  std::atomic<int> wrong_{0};
  wait_group all_;
};

std::string current_message() {
  try {
    std::rethrow_exception(std::current_exception());
  } catch (const std::exception& e) {
    return e.what();
  }
}

TEST(GoroutineException, IsCaughtByItsGoroutineAcrossParks) {
  on_one_and_two_procs([] {
    wait_group all;
    std::atomic<int> right{0};
    for (int number = 0; number < 20; ++number)
      all.go([&, number] {
        const std::string text = "of number " + std::to_string(number) + ", in memory of its own";
        for (int i = 0; i < 20; ++i) {
          try {
            cairn::yield();
            throw std::runtime_error(text);
          } catch (const std::runtime_error& e) {
            park_in_all_ways();
            if (e.what() == text && current_message() == text) ++right;
          }
        }
      });
    all.wait();
    EXPECT_EQ(right, 400);
  });
}

TEST(GoroutineException, IsRethrownAfterAPark) {
  on_one_and_two_procs([] {
    throwers others(3);
    cairn::spawn([] {
      for (int i = 0; i < 50; ++i) {
        const std::exception* first = nullptr;
        try {
          try {
            throw std::out_of_range("round " + std::to_string(i));
          } catch (const std::exception& e) {
            first = &e;
            park_in_all_ways();
            throw;
          }
        } catch (const std::out_of_range& e) {
          cairn::yield();
          EXPECT_EQ(&e, first);
          EXPECT_EQ(e.what(), "round " + std::to_string(i));
        }
        EXPECT_EQ(std::current_exception(), nullptr);
      }
    }).get();
    EXPECT_EQ(others.end(), 0);
  });
}

TEST(GoroutineException, HandlersNestAcrossParks) {
  on_one_and_two_procs([] {
    throwers others(3);
    cairn::spawn([] {
      for (int i = 0; i < 30; ++i) {
        try {
          throw std::runtime_error("outer");
        } catch (...) {
          cairn::yield();
          try {
            cairn::sleep_for(50us);
            throw std::logic_error("inner");
          } catch (const std::logic_error& inner) {
            park_in_all_ways();
            EXPECT_EQ(current_message(), "inner");
          }
          cairn::yield();
          EXPECT_EQ(current_message(), "outer");
          try {
            std::throw_with_nested(std::logic_error("around it"));
          } catch (const std::nested_exception& n) {
            cairn::yield();
            EXPECT_THROW(n.rethrow_nested(), std::runtime_error);
          }
        }
      }
    }).get();
    EXPECT_EQ(others.end(), 0);
  });
}

// Parks while an exception unwinds its frame.
struct parks_in_destructor {
  int expected;
  std::vector<int>* seen;
  ~parks_in_destructor() {
    const int before = std::uncaught_exceptions();
    park_in_all_ways();
    // A whole try and catch of its own, inside the unwinding.
    try {
      cairn::yield();
      throw 1;
    } catch (int) {
      cairn::yield();
    }
    seen->push_back(before == expected && std::uncaught_exceptions() == expected ? expected : -1);
  }
};

TEST(GoroutineException, DestructorsMayParkWhileItUnwinds) {
  on_one_and_two_procs([] {
    throwers others(3);
    cairn::spawn([] {
      for (int i = 0; i < 20; ++i) {
        std::vector<int> seen;
        { parks_in_destructor quietly{0, &seen}; }
        const auto throw_through_both = [&] {
          parks_in_destructor outer{1, &seen};
          parks_in_destructor inner{1, &seen};
          throw std::runtime_error("through both");
        };
        EXPECT_THROW(throw_through_both(), std::runtime_error);
        EXPECT_EQ(seen, (std::vector<int>{0, 1, 1}));
        EXPECT_EQ(std::uncaught_exceptions(), 0);
      }
    }).get();
    EXPECT_EQ(others.end(), 0);
  });
}

// While one goroutine is parked in a destructor during unwinding, and another in a catch block, a third on the same
// thread has neither.
TEST(GoroutineException, IsNotSeenByOthers) {
  on_procs(1, [] {
    gate leave;
    std::atomic<int> parked{0};
    wait_group all;
    all.go([&] {
      try {
        struct waits {
          gate* until;
          std::atomic<int>* count;
          ~waits() {
            ++*count;
            until->pass();
            EXPECT_EQ(std::uncaught_exceptions(), 1);
          }
        } here{&leave, &parked};
        throw std::runtime_error("in flight");
      } catch (const std::runtime_error& e) {
        EXPECT_STREQ(e.what(), "in flight");
      }
    });
    all.go([&] {
      try {
        throw std::runtime_error("caught");
      } catch (...) {
        ++parked;
        leave.pass();
        EXPECT_EQ(current_message(), "caught");
      }
    });
    ASSERT_TRUE(eventually([&] { return parked == 2; }));
    for (int i = 0; i < 3; ++i)
      cairn::spawn([] {
        EXPECT_EQ(std::uncaught_exceptions(), 0);
        EXPECT_EQ(std::current_exception(), nullptr);
        EXPECT_THROW(throw 5, int);
        cairn::yield();
        EXPECT_EQ(std::uncaught_exceptions(), 0);
      }).get();
    EXPECT_EQ(std::uncaught_exceptions(), 0);
    EXPECT_EQ(std::current_exception(), nullptr);
    leave.open();
    all.wait();
  });
}

TEST(GoroutineException, GoexitRunsDestructorsThatPark) {
  on_one_and_two_procs([] {
    throwers others(2);
    for (int i = 0; i < 20; ++i) {
      std::vector<int> seen;
      auto t = cairn::spawn([&] {
        parks_in_destructor outer{1, &seen};
        try {
          parks_in_destructor inner{1, &seen};
          cairn::yield();
          cairn::goexit();
        } catch (const std::exception&) {
          ADD_FAILURE() << "goexit is no std::exception";
        } catch (...) {
          cairn::sleep_for(50us);
          throw;
        }
      });
      EXPECT_THROW(t.get(), cairn::goroutine_exited);
      EXPECT_EQ(seen, (std::vector<int>{1, 1}));
    }
    EXPECT_EQ(others.end(), 0);
  });
}

TEST(GoroutineException, GoexitInsideACatchBlockEndsTheGoroutine) {
  on_one_and_two_procs([] {
    auto t = cairn::spawn([] {
      try {
        throw std::runtime_error("first");
      } catch (...) {
        cairn::yield();
        cairn::goexit();
      }
    });
    EXPECT_THROW(t.get(), cairn::goroutine_exited);
    EXPECT_EQ(cairn::spawn([] { return std::uncaught_exceptions(); }).get(), 0);
  });
}

TEST(GoroutineException, OfMainLeavesRun) {
  for (int procs : {1, 2}) {
    try {
      on_procs(procs, []() -> int {
        throwers others(2);
        park_in_all_ways();
        throw std::runtime_error("main's");
      });
      FAIL() << "nothing was thrown";
    } catch (const std::runtime_error& e) {
      EXPECT_STREQ(e.what(), "main's");
    }
    EXPECT_EQ(std::uncaught_exceptions(), 0);
  }
}

TEST(GoroutineException, ATaskCarriesItToWhoeverAsks) {
  on_one_and_two_procs([] {
    std::vector<cairn::task<int>> tasks;
    for (int i = 0; i < 100; ++i)
      tasks.push_back(cairn::spawn([i]() -> int {
        cairn::yield();
        throw std::runtime_error(std::to_string(i));
      }));
    for (int i = 0; i < 100; ++i) {
      try {
        tasks[static_cast<std::size_t>(i)].get();
        FAIL();
      } catch (const std::runtime_error& e) {
        cairn::yield();
        EXPECT_EQ(e.what(), std::to_string(i));
      }
    }
  });
}

}  // namespace
