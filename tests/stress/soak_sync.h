// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The soak's locks and what is made of them. What a lock protects is no atomic: it comes out right only if the lock
// does what it should.
#pragma once
#include <array>
#include <mutex>
#include <shared_mutex>
#include <stdexcept>
#include <string>

#include "stress/soak.h"

namespace soak {

class mutexes : public kind {
 public:
  mutexes() : kind("mutexes", 4) {}

 private:
  struct guarded {
    cairn::sync::mutex lock;
    std::uint64_t count = 0;
  };

  void act(random_source& random) override {
    guarded &one = all_[random() % all_.size()], &other = all_[random() % all_.size()];
    if (random() % 4 == 0) {
      if (!one.lock.try_lock()) return;
      std::lock_guard held(one.lock, std::adopt_lock);
      one.count += 1;
      added_ += 1;
    } else if (random() % 4 == 0 && &one != &other) {
      std::scoped_lock held(one.lock, other.lock);
      one.count += 1;
      other.count += 2;
      added_ += 3;
    } else {
      std::lock_guard held(one.lock);
      const std::uint64_t before = one.count;
      sometimes_yield(random);
      one.count = before + 1;
      added_ += 1;
    }
  }
  void end() override {
    std::uint64_t sum = 0;
    for (const guarded& g : all_) sum += g.count;
    expect(sum == added_, "an increment under a mutex was lost");
  }

  std::array<guarded, 3> all_;
  std::atomic<std::uint64_t> added_{0};
};

class rw_mutexes : public kind {
 public:
  rw_mutexes() : kind("rw_mutexes", 4) {}

 private:
  void act(random_source& random) override {
    if (random() % 4 == 0) {
      std::unique_lock held(lock_, std::defer_lock);
      if (random() % 4 != 0) held.lock();
      else if (!held.try_lock()) return;
      ++first_;
      sometimes_yield(random);
      ++second_;
      ++writes_;
    } else {
      std::shared_lock held(lock_, std::defer_lock);
      if (random() % 4 != 0) held.lock();
      else if (!held.try_lock()) return;
      const std::uint64_t seen = first_;
      sometimes_yield(random);
      expect(seen == second_ && seen == first_, "somebody wrote while others read");
    }
  }
  void end() override {
    expect(first_ == writes_ && second_ == writes_, "a write under an rw_mutex was lost");
  }

  cairn::sync::rw_mutex lock_;
  std::uint64_t first_ = 0, second_ = 0;
  std::atomic<std::uint64_t> writes_{0};
};

// A queue of few places: each puts one in and takes one out, so that somebody always can.
class conds : public kind {
 public:
  conds() : kind("conds", 4) {}

 private:
  void put(std::uint64_t id) {
    std::unique_lock held(lock_);
    not_full_.wait(held, [this] { return used_ < places_.size(); });
    places_[(first_ + used_++) % places_.size()] = id;
    in_ += id;
    not_empty_.notify_one();
  }
  void take() {
    std::unique_lock held(lock_);
    while (used_ == 0) not_empty_.wait(held);
    out_ += places_[first_];
    first_ = (first_ + 1) % places_.size();
    --used_;
    not_full_.notify_one();
  }
  // All who wait for a door are let in by one.
  static void open_a_door(random_source& random) {
    cairn::sync::mutex lock;
    cairn::sync::cond opened;
    bool is_open = false;
    std::atomic<std::uint64_t> passed{0};
    const std::uint64_t n = random() % 5;
    wait_group all;
    for (std::uint64_t i = 0; i < n; ++i)
      all.go([&] {
        std::unique_lock held(lock);
        opened.wait(held, [&] { return is_open; });
        ++passed;
      });
    sometimes_yield(random);
    {
      std::lock_guard held(lock);
      is_open = true;
      opened.notify_all();
    }
    all.wait();
    expect(passed == n, "notify_all has left somebody out");
  }
  void act(random_source& random) override {
    put(random());
    sometimes_yield(random);
    take();
    if (random() % 4 == 0) open_a_door(random);
  }
  void end() override { expect(used_ == 0 && in_ == out_, "a queue has lost what was put into it"); }

  cairn::sync::mutex lock_;
  cairn::sync::cond not_full_, not_empty_;
  std::array<std::uint64_t, 3> places_{};
  std::size_t first_ = 0, used_ = 0;
  std::uint64_t in_ = 0, out_ = 0;
};

class semaphores : public kind {
 public:
  semaphores() : kind("semaphores", 4) {}

 private:
  static constexpr std::int64_t k_units = 8;

  void act(random_source& random) override {
    const auto n = static_cast<std::int64_t>(1 + random() % 5);
    if (random() % 4 != 0) units_.acquire(n);
    else if (!units_.try_acquire(n)) return;
    expect((taken_ += n) <= k_units, "a semaphore has given more than it has");
    sometimes_yield(random);
    taken_ -= n;
    units_.release(n);
  }
  void end() override {
    expect(units_.try_acquire(k_units), "a semaphore has lost units");
    expect(!units_.try_acquire(), "a semaphore has more units than it began with");
    units_.release(k_units);
  }

  cairn::sync::semaphore units_{k_units};
  std::atomic<std::int64_t> taken_{0};
};

class wait_groups : public kind {
 public:
  wait_groups() : kind("wait_groups") {}

 private:
  // Used again while who waited for the zero before is still on the way.
  void act(random_source& random) override {
    wait_group group;
    std::atomic<std::uint64_t> ended{0};
    std::uint64_t started = 0;
    for (std::uint64_t again = 1 + random() % 3; again-- > 0;) {
      for (std::uint64_t i = random() % 6; i-- > 0; ++started)
        group.go([&ended, sleeps = random() % 4 == 0] {
          if (sleeps) cairn::sleep_for(50us);
          ++ended;
        });
      group.wait();
      expect(ended == started, "a wait group let its waiter go too early");
    }
  }
};

class onces : public kind {
 public:
  onces() : kind("onces") {}

 private:
  static void once_for_all(std::uint64_t callers) {
    cairn::sync::once first;
    int calls = 0;
    wait_group all;
    while (callers-- > 0)
      all.go([&] {
        first.call([&] {
          cairn::yield();
          ++calls;
        });
        expect(calls == 1, "a once has not been called once");
      });
    all.wait();
  }
  static void one_value(std::uint64_t callers, std::uint64_t id) {
    const auto value = cairn::sync::once_value([id] {
      cairn::yield();
      if (id % 4 == 0) throw std::runtime_error(std::to_string(id));
      return cairn::gc_ptr<cell>(make_list(id, 3));
    });
    wait_group all;
    while (callers-- > 0)
      all.go([value, id] {
        try {
          expect(is_list(value().get(), id, 3), "a once_value has changed");
          expect(id % 4 != 0, "a once_value has a value instead of an exception");
        } catch (const std::runtime_error& e) {
          expect(e.what() == std::to_string(id), "a once_value throws something else");
        }
      });
    all.wait();
  }
  void act(random_source& random) override {
    if (random() % 2 == 0) once_for_all(1 + random() % 5);
    else one_value(1 + random() % 5, random());
  }
};

// n functions in a group, of which some fail, and at most `limit` run at once.
class errgroups : public kind {
 public:
  errgroups() : kind("errgroups") {}

 private:
  struct failure : std::runtime_error {
    using runtime_error::runtime_error;
  };
  struct work {
    cairn::sync::errgroup group;
    int limit;
    std::atomic<int> running{0};
    std::atomic<std::uint64_t> ended{0}, failed{0};

    work(cairn::context parent, int most) : group(std::move(parent)), limit(most) {
      if (limit > 0) group.set_limit(limit);
    }
    void run(std::uint64_t number) {
      cairn::defer at_end{[this] {
        --running;
        ++ended;
      }};
      expect(++running <= limit || limit == 0, "an errgroup runs more than its limit");
      switch (number % 8) {
        case 0:
          ++failed;
          throw failure("on purpose");
        case 1:
          cairn::goexit();
        case 2:
          cairn::select(cairn::on_recv(group.ctx().done()), cairn::on_recv(cairn::after(500us)));
          break;
        default:
          cairn::yield();
      }
    }
  };

  void act(random_source& random) override {
    const auto [parent, cancel] = cairn::with_timeout(cairn::background(), 1h);
    work w(parent, static_cast<int>(random() % 5));
    std::uint64_t started = 0;
    for (std::uint64_t i = random() % 10; i-- > 0;) {
      const auto f = [&w, number = random()] { w.run(number); };
      if (random() % 4 == 0) started += w.group.try_go(f);
      else w.group.go(f), ++started;
    }
    bool has_failed = false;
    try {
      w.group.wait();
    } catch (const failure&) {
      has_failed = true;
    }
    expect(w.ended == started, "an errgroup did not wait for all");
    expect(has_failed == (w.failed != 0), "an errgroup does not say whether one has failed");
    expect(w.group.ctx().err() == cairn::context_errc::canceled, "an errgroup's context goes on");
    expect(!parent.err(), "an errgroup has cancelled the context above");
    cancel();
  }
};

}  // namespace soak
