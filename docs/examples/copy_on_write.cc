// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// A configuration that is read all the time and seldom changed. Readers take the current one as a
// whole, lock nothing and wait for nobody. Who changes it makes a copy, changes that, and puts it
// in the old one's place if that is still there, else begins again. An old configuration stays as
// it was for those who still use it, and is collected after.
//
// Shows: sync::atomic_value of a pointer to const objects, compare_and_swap, sync::wait_group.
#include <cairn/cairn.h>

#include <atomic>
#include <cstdio>
#include <map>
#include <string>

struct config {
  int version = 0;
  std::map<std::string, int> limits;
};

// The value of an atomic_value is copied out at each load: for a pointer that is nothing.
using config_ptr = cairn::gc_ptr<const config>;

class settings {
 public:
  config_ptr current() const { return current_.load(); }

  // `change` is called with a copy, once or more.
  template <class F>
  void update(F change) {
    for (;;) {
      const config_ptr before = current_.load();
      const cairn::gc_ptr<config> after = cairn::make_gc<config>(*before);
      ++after->version;
      change(*after);
      if (current_.compare_and_swap(before, after)) return;
    }
  }

 private:
  cairn::sync::atomic_value<config_ptr> current_{cairn::make_gc<config>()};
};

int main() {
  return cairn::run([] {
    settings all;
    const config_ptr first = all.current();

    // Every change moves one from `free` to `used`. So a reader that saw half of one would see
    // another sum.
    all.update([](config& c) { c.limits = {{"free", 1000}, {"used", 0}}; });
    std::atomic<bool> done{false};
    std::atomic<int> torn{0};
    cairn::sync::wait_group readers, writers;
    for (int i = 0; i < 4; ++i)
      readers.go([&] {
        while (!done) {
          const config_ptr now = all.current();
          const int used = now->limits.at("used");
          cairn::yield();
          if (used + now->limits.at("free") != 1000) ++torn;
        }
      });
    for (int i = 0; i < 4; ++i)
      writers.go([&] {
        for (int n = 0; n < 250; ++n)
          all.update([](config& c) {
            --c.limits["free"];
            ++c.limits["used"];
          });
      });
    writers.wait();
    done = true;
    readers.wait();

    const config_ptr last = all.current();
    std::printf("version %d: %d used, %d free\n", last->version, last->limits.at("used"),
                last->limits.at("free"));
    std::printf("seen half changed: %d\n", torn.load());
    std::printf("who took version %d still has it, with %zu limits\n", first->version, first->limits.size());
  });
}
