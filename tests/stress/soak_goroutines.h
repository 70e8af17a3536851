// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// What the soak's goroutines do with themselves: start others and take their results, exceptions and ends, block in the
// kernel, spin, wait for descriptors, change the number of Ps; and objects that end with a function.
#pragma once
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <exception>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "stress/soak.h"

namespace soak {

// A tree of goroutines that each give a list and how many they were.
class tasks : public kind {
 public:
  tasks() : kind("tasks") {}

 private:
  struct result {
    std::uint64_t goroutines;
    cairn::gc_ptr<cell> list;
  };
  static result count(std::uint64_t id, int depth) {
    if (depth == 0) return {1, make_list(id, 3)};
    auto left = cairn::spawn(count, mix(id), depth - 1), right = cairn::spawn(count, mix(~id), depth - 1);
    const result r = right.get(), l = left.get();
    expect(depth > 1 || (is_list(r.list.get(), mix(~id), 3) && is_list(l.list.get(), mix(id), 3)),
           "a task's result is damaged");
    return {1 + l.goroutines + r.goroutines, make_list(id, 3)};
  }
  void act(random_source& random) override {
    const int depth = static_cast<int>(random() % 4);
    expect(count(random(), depth).goroutines == (2u << depth) - 1, "a task was lost");
    cairn::spawn([] { cairn::yield(); });  // nobody waits for that
  }
};

class exceptions : public kind {
 public:
  exceptions() : kind("exceptions") {}

 private:
  void act(random_source& random) override {
    const std::string text = std::to_string(random());
    auto child = cairn::spawn([text] {
      try {
        cairn::yield();
        throw std::runtime_error(text);
      } catch (const std::runtime_error&) {
        cairn::sleep_for(20us);
        throw;
      }
    });
    try {
      child.get();
      fail("a task lost its exception");
    } catch (const std::runtime_error& e) {
      cairn::yield();
      expect(e.what() == text, "an exception is another goroutine's");
    }
    expect(std::uncaught_exceptions() == 0, "an exception is left over");
  }
};

class goexits : public kind {
 public:
  goexits() : kind("goexits") {}

 private:
  void act(random_source& random) override {
    std::atomic<int> destroyed{0};
    auto child = cairn::spawn([&destroyed, sleeps = random() % 2 == 0] {
      cairn::defer first{[&] { ++destroyed; }};
      cairn::defer second{[&] {
        cairn::yield();
        ++destroyed;
      }};
      if (sleeps) cairn::sleep_for(50us);
      cairn::goexit();
    });
    try {
      child.get();
      fail("goexit gave a result");
    } catch (const cairn::goroutine_exited&) {
    }
    expect(destroyed == 2, "goexit did not run all destructors");
  }
};

// Calls that block in the kernel, said so or not, and a thread of one's own.
class kernel_calls : public kind {
 public:
  kernel_calls() : kind("blocking calls") {}

 private:
  void act(random_source& random) override {
    const auto time = up_to(random, 500);
    if (random() % 8 == 0) return std::this_thread::sleep_for(time);
    const std::uint64_t id = random();
    cell* const mine = make_cell(id);
    const auto given = cairn::blocking([time, id] {
      std::this_thread::sleep_for(time);
      return id;
    });
    expect(given == id && mine->is(id), "a blocking call has changed something");
    if (random() % 4 != 0) return;
    cairn::lock_os_thread here;
    const pid_t thread = gettid();
    cairn::yield();
    cairn::sleep_for(time);
    expect(gettid() == thread, "a locked goroutine has left its thread");
  }
};

// More goroutines than there can be Ps, none of which calls anything until all of them run: some must be preempted.
class hogs : public kind {
 public:
  hogs() : kind("spinners in crowds") {}
  // At least so many goroutines were taken off their P while they spun.
  std::uint64_t preemptions() const { return k_extra * crowds_; }

 private:
  static constexpr int k_extra = 2;

  [[gnu::noinline]] static void spin_until(const std::atomic<int>& running, int all) {
    while (running.load(std::memory_order_relaxed) != all) {
    }
  }
  void act(random_source& random) override {
    if (random() % 16 != 0 || busy_.exchange(true)) return;
    std::atomic<int> running{0};
    wait_group group;
    for (int i = 0; i < k_procs + k_extra; ++i)
      group.go([&running] {
        ++running;
        spin_until(running, k_procs + k_extra);
      });
    group.wait();
    ++crowds_;
    busy_ = false;
  }

  std::atomic<bool> busy_{false};
  std::atomic<std::uint64_t> crowds_{0};
};

// Spins for longer than a slice, seldom; mostly a little, between steps of the others.
class spins : public kind {
 public:
  spins() : kind("spins") {}

 private:
  void act(random_source& random) override {
    const std::uint64_t id = random();
    cell* const mine = make_list(id, 2);
    const auto until = clock_type::now() + up_to(random, random() % 64 == 0 ? 25'000 : 100);
    while (clock_type::now() < until) {
    }
    expect(is_list(mine, id, 2), "what a spinner holds has changed");
  }
};

class changes_of_procs : public kind {
 public:
  changes_of_procs() : kind("changes of max_procs", 1) {}

 private:
  void act(random_source& random) override {
    if (random() % 16 == 0) cairn::max_procs(1 + static_cast<int>(random() % k_procs));
    const int n = cairn::max_procs();
    expect(n >= 1 && n <= k_procs, "there are more Ps than anybody wanted");
  }
  void end() override { cairn::max_procs(k_procs); }
};

// Two ends of a pipe or of sockets, with deadlines that pass now and then.
class descriptors : public kind {
 public:
  descriptors() : kind("descriptors", 3) {}

 private:
  static void send(int fd, char c) {
    while (::write(fd, &c, 1) != 1) cairn::wait_writable(fd);
  }
  static char receive(int fd, random_source& random) {
    char c = 0;
    while (::read(fd, &c, 1) != 1)
      while (!cairn::wait_readable(fd, clock_type::now() + up_to(random, 1000))) {
      }
    return c;
  }
  static void talk(random_source& random) {
    std::array<int, 2> ends;
    expect(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) == 0,
           "no sockets");
    const std::uint64_t rounds = 1 + random() % 6;
    wait_group other;
    other.go([fd = ends[1], rounds, own = random()] {
      random_source random_too(own);
      for (std::uint64_t i = 0; i < rounds; ++i) send(fd, receive(fd, random_too));
    });
    for (std::uint64_t i = 0; i < rounds; ++i) {
      const char c = static_cast<char>(random());
      send(ends[0], c);
      expect(receive(ends[0], random) == c, "a socket has brought something else");
    }
    other.wait();
    for (const int fd : ends) ::close(fd);
  }
  // More than it holds, so that the writer waits too.
  static void fill_a_pipe(random_source& random) {
    std::array<int, 2> ends;
    expect(::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) == 0, "no pipe");
    const std::size_t bytes = random() % 200'000;
    wait_group writer;
    writer.go([fd = ends[1], bytes] {
      std::array<char, 4096> block{};
      for (std::size_t left = bytes; left > 0;) {
        const auto n = ::write(fd, block.data(), std::min(left, block.size()));
        if (n > 0) left -= static_cast<std::size_t>(n);
        else cairn::wait_writable(fd);
      }
      ::close(fd);
    });
    std::array<char, 4096> block;
    std::size_t read = 0;
    for (ssize_t n; (n = ::read(ends[0], block.data(), block.size())) != 0;) {
      if (n > 0) read += static_cast<std::size_t>(n);
      else cairn::wait_readable(ends[0]);
    }
    expect(read == bytes, "a pipe has lost bytes");
    writer.wait();
    ::close(ends[0]);
  }
  void act(random_source& random) override {
    if (random() % 4 != 0) talk(random);
    else fill_a_pipe(random);
  }
};

struct made_and_over {
  std::atomic<std::uint64_t> made{0}, over{0};
};

// Objects with destructors, cleanups, finalizers and weak references. What was made is over in the end.
class objects : public kind {
 public:
  objects() : kind("objects with an end", 4) {}
  // Static, because the last end comes after the round's.
  static inline made_and_over destructors, cleanups, finalizers;
  static bool all_are_over() {
    return destructors.made == destructors.over && cleanups.made == cleanups.over &&
           finalizers.made == finalizers.over;
  }

 private:
  struct thing {
    std::uint64_t id;
    cairn::gc_ptr<cell> list;
    explicit thing(std::uint64_t n) : id(n), list(make_list(n, 2)) { ++destructors.made; }
    ~thing() {
      expect(is_list(list.get(), id, 2), "a destructor found its object damaged");
      ++destructors.over;
    }
  };

  static cairn::gc_weak<thing> make(random_source& random) {
    thing* const t = cairn::make_gc<thing>(random());
    if (random() % 2 == 0) {
      ++cleanups.made;
      const cairn::stop_handle h = cairn::add_cleanup(t, [] { ++cleanups.over; });
      if (random() % 4 == 0 && h.stop()) ++cleanups.over;
    }
    if (random() % 4 == 0) {
      ++finalizers.made;
      cairn::set_finalizer(t, [id = t->id](thing* dying) {
        expect(dying->id == id && is_list(dying->list.get(), id, 2), "a finalizer got a damaged object");
        ++finalizers.over;
      });
    }
    return t;
  }
  void act(random_source& random) override {
    const cairn::gc_weak<thing> weak = make(random);
    const std::uint64_t id = random(), length = 1 + random() % 40;
    cell* const kept = make_list(id, length);
    sometimes_yield(random);
    if (const auto t = weak.lock())
      expect(is_list(t->list.get(), t->id, 2), "a weak reference leads to a damaged object");
    expect(is_list(kept, id, length), "a list that a goroutine holds has changed");
    {
      const auto owned = cairn::make_unique_gc<thing>(random());
      sometimes_yield(random);
      expect(is_list(owned->list.get(), owned->id, 2), "an owned object is damaged");
    }
    if (random() % 256 == 0) cairn::gc::collect();
    churn(random() % 100);
  }
};

}  // namespace soak
