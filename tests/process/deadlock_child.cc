// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Programs in which all goroutines wait for ever, and programs that only look as if.
#include <cairn/cairn.h>
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "api/procs.h"
#include "process/child.h"

namespace {

using namespace cairn_test;
using namespace std::chrono_literals;
using cairn::sync::wait_group;

struct silent_pipe {
  silent_pipe() { EXPECT_IN_CHILD(::pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0); }
  int ends[2];
};
// Waits at what nobody will open.
void wait_for_ever() {
  wait_group never;
  never.add(1);
  never.wait();
}
// So that the test can compare them with the list in the message.
void print_id() {
  std::printf("%llu\n", static_cast<unsigned long long>(cairn::goroutine_id()));
  std::fflush(stdout);
}

// ---- deadlocks --------------------------------------------------------------------------------------------

int main_waits() {
  return cairn::run([] {
    print_id();
    wait_for_ever();
  });
}
int others_wait_too() {
  return cairn::run([] {
    print_id();
    std::vector<cairn::task<void>> tasks;
    for (int i = 0; i < 3; ++i)
      tasks.push_back(cairn::spawn([] {
        print_id();
        wait_for_ever();
      }));
    tasks[0].get();
  });
}
// Two tasks that wait for each other's result.
int a_ring_of_tasks() {
  return cairn::run([] {
    static cairn::task<void> first, second;
    static gate both_there;
    first = cairn::spawn([] {
      both_there.pass();
      second.get();
    });
    second = cairn::spawn([] {
      both_there.pass();
      first.get();
    });
    both_there.open();
    wait_for_ever();
  });
}
int only_after_some_work() {
  return cairn::run([] {
    wait_group all;
    for (int i = 0; i < 50; ++i)
      all.go([] {
        for (int k = 0; k < 20; ++k) cairn::keep_alive(make_list(1, 50));
        park_in_all_ways();
      });
    all.wait();
    cairn::gc::collect();
    cairn::sleep_for(50ms);
    cairn::blocking([] { std::this_thread::sleep_for(20ms); });
    wait_for_ever();
  });
}
int on_one_proc() {
  return on_procs(1, [] {
    cairn::go(wait_for_ever);
    wait_for_ever();
  });
}
int on_eight_procs() {
  return on_procs(8, [] {
    for (int i = 0; i < 20; ++i) cairn::go(wait_for_ever);
    wait_for_ever();
  });
}
int in_the_second_run() {
  cairn::run([] { cairn::spawn([] { cairn::yield(); }).get(); });
  return cairn::run([] {
    cairn::go(wait_for_ever);
    wait_for_ever();
  });
}
int with_locked_threads() {
  return cairn::run([] {
    cairn::lock_os_thread here;
    cairn::go([] {
      cairn::lock_os_thread there;
      wait_for_ever();
    });
    cairn::yield();
    wait_for_ever();
  });
}
int main_has_called_goexit() {
  return cairn::run([] {
    cairn::go([] {
      park_in_all_ways();
      std::puts("the other one ran on");
      std::fflush(stdout);
    });
    cairn::goexit();
  });
}
int main_has_called_goexit_and_others_wait() {
  return cairn::run([] {
    cairn::go(wait_for_ever);
    cairn::goexit();
  });
}
// Who has waited for a descriptor does not count any more.
int after_a_wait_for_a_descriptor() {
  return cairn::run([] {
    silent_pipe p;
    auto reader = cairn::spawn([&] { return cairn::wait_readable(p.ends[0]); });
    EXPECT_IN_CHILD(!cairn::wait_readable(p.ends[0], std::chrono::steady_clock::now() + 50ms));
    EXPECT_IN_CHILD(::write(p.ends[1], "x", 1) == 1 && reader.get());
    wait_for_ever();
  });
}
// One goroutine for each way to wait at a channel; each prints its id and what it waits for.
template <class F>
void start_waiting(const char* what, F wait) {
  cairn::go([what, wait] {
    std::printf("%llu %s\n", static_cast<unsigned long long>(cairn::goroutine_id()), what);
    std::fflush(stdout);
    wait();
  });
}
int at_channels() {
  return cairn::run([] {
    start_waiting("chan receive", [] { cairn::make_chan<int>(3).recv(); });
    start_waiting("chan send", [] { cairn::make_chan<int>().send(1); });
    start_waiting("chan receive (nil chan)", [] { cairn::chan<int>().recv(); });
    start_waiting("chan send (nil chan)", [] { cairn::chan<int>().send(1); });
    start_waiting("select", [] { cairn::select(cairn::on_recv(cairn::make_chan<int>())); });
    start_waiting("select (no cases)", [] { cairn::select(); });
    wait_for_ever();
  });
}
int a_full_channel() {
  return cairn::run([] {
    auto c = cairn::make_chan<std::string>(1);
    c.send("fits");
    c.send("does not");
  });
}
int channels_that_wait_for_each_other() {
  return cairn::run([] {
    auto a = cairn::make_chan<void>(), b = cairn::make_chan<void>();
    cairn::go([=] {
      a.recv();
      b.send();
    });
    b.recv();
    a.send();
  });
}
// A thread that has ended is none that could wake somebody.
int after_an_attached_thread_has_ended() {
  return cairn::run([] {
    std::thread([] { cairn::attach_thread attached; }).join();
    wait_for_ever();
  });
}

// ---- none -------------------------------------------------------------------------------------------------

int a_sleeper_will_wake_them() {
  return cairn::run([] {
    gate g;
    cairn::go([&] {
      cairn::sleep_for(300ms);
      g.open();
    });
    g.pass();
  });
}
int one_is_in_blocking() {
  return cairn::run([] {
    gate g;
    cairn::go([&] {
      cairn::blocking([] { std::this_thread::sleep_for(300ms); });
      g.open();
    });
    g.pass();
  });
}
int one_blocks_undeclared() {
  return cairn::run([] {
    gate g;
    cairn::go([&] {
      std::this_thread::sleep_for(300ms);
      g.open();
    });
    g.pass();
  });
}
int one_only_spins() {
  return on_procs(2, [] {
    gate g;
    cairn::go([&] {
      const auto until = std::chrono::steady_clock::now() + 300ms;
      while (std::chrono::steady_clock::now() < until) {
      }
      g.open();
    });
    g.pass();
  });
}
// A thread counts once it is attached: so it is waited for without parking for good.
int an_attached_thread_will_wake_them() {
  gate g;
  std::atomic<bool> attached{false};
  std::thread outside;
  const int status = cairn::run([&] {
    outside = std::thread([&] {
      cairn::attach_thread here;
      attached = true;
      std::this_thread::sleep_for(300ms);
      g.open();
    });
    EXPECT_IN_CHILD(eventually([&] { return attached.load(); }));
    g.pass();
  });
  outside.join();
  return status;
}
// The same for many, and for a thread that was there before run.
int all_wait_while_a_thread_is_attached() {
  gate leave;
  std::atomic<bool> attached{false}, waiting{false};
  std::thread outside([&] {
    cairn::attach_thread here;
    attached = true;
    while (!waiting) std::this_thread::sleep_for(1ms);
    std::this_thread::sleep_for(200ms);
    leave.open();
  });
  while (!attached) std::this_thread::sleep_for(1ms);
  const int status = cairn::run([&] {
    wait_group all;
    for (int i = 0; i < 10; ++i) all.go([&] { leave.pass(); });
    waiting = true;
    all.wait();
  });
  outside.join();
  return status;
}
// Written to by a thread that is not attached, so nothing of the program's is left that could act.
int one_waits_for_a_descriptor() {
  silent_pipe p;
  std::thread outside([&] {
    std::this_thread::sleep_for(300ms);
    EXPECT_IN_CHILD(::write(p.ends[1], "x", 1) == 1);
  });
  const int status = cairn::run([&] {
    gate g;
    cairn::go([&] {
      EXPECT_IN_CHILD(cairn::wait_readable(p.ends[0]));
      g.open();
    });
    g.pass();
  });
  outside.join();
  return status;
}
int main_reads_again_and_again() {
  silent_pipe p;
  std::thread outside([&] {
    for (int i = 0; i < 200; ++i) {
      std::this_thread::sleep_for(1ms);
      EXPECT_IN_CHILD(::write(p.ends[1], "x", 1) == 1);
    }
    ::close(p.ends[1]);
  });
  const int status = cairn::run([&] {
    for (char c; ::read(p.ends[0], &c, 1) != 0;) EXPECT_IN_CHILD(cairn::wait_readable(p.ends[0]));
  });
  outside.join();
  return status;
}
// No run: the thread that waits is the program's own, and what it waits for is at work.
int a_thread_waits_for_a_sleeper() {
  for (int i = 0; i < 5; ++i) cairn::spawn([] { cairn::sleep_for(60ms); }).get();
  return 0;
}
// Nothing waits between two runs and after the last.
int between_runs() {
  for (int i = 0; i < 3; ++i) {
    cairn::run([] { cairn::spawn([] { cairn::yield(); }).get(); });
    std::this_thread::sleep_for(60ms);
  }
  return 0;
}
// The channel's other end is with a thread.
int a_thread_will_send() {
  auto c = cairn::make_chan<void>();
  const auto shared = cairn::root<cairn::chan<void>>(cairn::make_gc<cairn::chan<void>>(c));
  std::atomic<bool> attached{false};
  std::thread outside([&attached, shared] {
    cairn::attach_thread here;
    attached = true;
    std::this_thread::sleep_for(200ms);
    shared->send();
  });
  const int status = cairn::run([&] {
    EXPECT_IN_CHILD(eventually([&] { return attached.load(); }));
    EXPECT_IN_CHILD(c.recv());
  });
  outside.join();
  return status;
}
// Finalizers and cleanups are the runtime's own goroutine, which waits most of the time.
int a_cleanup_will_wake_them() {
  return cairn::run([] {
    struct state {
      gate g;
      std::atomic<bool> cleaned{false};
    };
    const auto all = std::make_shared<state>();
    // Several: a stale word on some stack may keep one.
    apart([&] {
      for (int i = 0; i < 20; ++i)
        cairn::add_cleanup(make_cell(1), [all] {
          if (!all->cleaned.exchange(true)) all->g.open();
        });
    });
    auto collector = cairn::spawn([all] {
      while (!all->cleaned) {
        clear_stack();
        cairn::gc::collect();
        cairn::sleep_for(1ms);
      }
    });
    all->g.pass();
    collector.get();
  });
}

}  // namespace

int main(int argc, char** argv) {
  return process::play(argc, argv,
                       {
                           {"main_waits", main_waits},
                           {"others_wait_too", others_wait_too},
                           {"a_ring_of_tasks", a_ring_of_tasks},
                           {"only_after_some_work", only_after_some_work},
                           {"on_one_proc", on_one_proc},
                           {"on_eight_procs", on_eight_procs},
                           {"in_the_second_run", in_the_second_run},
                           {"with_locked_threads", with_locked_threads},
                           {"main_has_called_goexit", main_has_called_goexit},
                           {"main_has_called_goexit_and_others_wait", main_has_called_goexit_and_others_wait},
                           {"after_an_attached_thread_has_ended", after_an_attached_thread_has_ended},
                           {"at_channels", at_channels},
                           {"a_full_channel", a_full_channel},
                           {"channels_that_wait_for_each_other", channels_that_wait_for_each_other},
                           {"a_thread_will_send", a_thread_will_send},
                           {"after_a_wait_for_a_descriptor", after_a_wait_for_a_descriptor},
                           {"one_waits_for_a_descriptor", one_waits_for_a_descriptor},
                           {"main_reads_again_and_again", main_reads_again_and_again},
                           {"a_sleeper_will_wake_them", a_sleeper_will_wake_them},
                           {"one_is_in_blocking", one_is_in_blocking},
                           {"one_blocks_undeclared", one_blocks_undeclared},
                           {"one_only_spins", one_only_spins},
                           {"an_attached_thread_will_wake_them", an_attached_thread_will_wake_them},
                           {"all_wait_while_a_thread_is_attached", all_wait_while_a_thread_is_attached},
                           {"a_thread_waits_for_a_sleeper", a_thread_waits_for_a_sleeper},
                           {"between_runs", between_runs},
                           {"a_cleanup_will_wake_them", a_cleanup_will_wake_them},
                       });
}
