// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// A storm on channels, on more Ps than there are cores: goroutines and threads send, receive, select in both forms and
// close at random, on channels of words and of boxes, with and without capacity, while collections run back to back
// and the runtime's protocols are delayed. What is received must be whole; what was sent must be received once,
// counted over a run that goes to its end; from some runs main returns in the middle.
//
//   chan_storm [seconds [seed]]
//
// Runs itself again under the CAIRNDEBUG that it wants, unless one is set. Aborts with the seed when something
// is wrong, or when nothing has moved for half a minute.
#include <cairn/cairn.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "api/procs.h"
#include "stress/storm.h"

namespace {

using namespace cairn_test;
using namespace std::chrono_literals;
using cairn::chan;
using cairn::closed_channel;
using cairn::make_chan;
using cairn::on_default;
using cairn::on_recv;
using cairn::on_send;
using cairn::select_case;
using cairn::sync::wait_group;

constexpr int k_procs = 8;
constexpr std::size_t k_channels = 4;  // of each kind
constexpr int k_goroutines = 40, k_threads = 3;

std::atomic<std::uint64_t> next_id{1};

// Cannot be moved as words, and holds a list in malloc'd memory.
class parcel {
 public:
  explicit parcel(std::uint64_t id) : text_(std::to_string(id)), list_(make_list(id, 3)) {}
  // The number, if it is whole.
  std::optional<std::uint64_t> open() const {
    const std::uint64_t id = std::strtoull(text_.c_str(), nullptr, 10);
    if (!is_list(list_.get(), id, 3)) return std::nullopt;
    return id;
  }

 private:
  std::string text_;
  cairn::root<cell> list_;
};

struct tally {
  std::atomic<std::uint64_t> count{0}, sum{0};
  void add(std::uint64_t id) {
    ++count;
    sum += id;
    ++storm.steps;
  }
};

// What one run() does. A collected object: the goroutines that a run drops, the threads and main share it.
struct round_state {
  std::array<chan<cell*>, k_channels> words;
  std::array<chan<parcel>, k_channels> boxes;
  chan<void> signals;
  std::atomic<bool> stop{false};
  tally sent, received;
  cairn::sync::mutex lock;  // of the arrays; nothing that could end a goroutine is called with it

  template <class T>
  std::array<chan<T>, k_channels>& all() {
    if constexpr (std::is_same_v<T, cell*>) return words;
    else return boxes;
  }
  template <class T>
  chan<T> get(std::size_t i) {
    std::lock_guard held(lock);
    return all<T>()[i % k_channels];
  }
  // Closes one; another takes its place, unless the round is ending.
  template <class T>
  void replace(std::size_t i) {
    const chan<T> heir = make_chan<T>(i % 4);
    chan<T> old;
    bool was_stopped;
    {
      std::lock_guard held(lock);
      chan<T>& place = all<T>()[i % k_channels];
      old = place;
      was_stopped = stop;
      if (!was_stopped) place = heir;
    }
    try {
      old.close();
    } catch (const closed_channel&) {
      if (!was_stopped) fail("a channel was closed twice");
    }
    while (auto v = old.recv()) take(*v);
  }
  void take(const cell* v) {
    if (!is_list(v, v->id, 3)) fail("a list arrived broken");
    received.add(v->id);
  }
  void take(const parcel& v) {
    const auto id = v.open();
    if (!id) fail("a parcel arrived broken");
    received.add(*id);
  }
};

template <class T>
T make_value(std::uint64_t id) {
  if constexpr (std::is_same_v<T, cell*>) return make_list(id, 3);
  else return parcel(id);
}

// ---- what they do -------------------------------------------------------------------------------------------------

template <class T>
void send_one(round_state& r, random_source& random) {
  const std::uint64_t id = next_id++;
  try {
    auto c = r.get<T>(random());
    if (random() % 2 != 0) {
      c.send(make_value<T>(id));
    } else if (!c.try_send(make_value<T>(id))) {
      return;
    }
    r.sent.add(id);
  } catch (const closed_channel&) {
  }
}

template <class T>
void receive_one(round_state& r, random_source& random) {
  auto c = r.get<T>(random());
  if (random() % 2 != 0) {
    if (auto v = c.recv()) r.take(*v);
  } else if (auto got = c.try_recv(); got.ok) {
    r.take(*got.value);
  }
}

void select_statically(round_state& r, random_source& random) {
  const std::uint64_t a = next_id++, b = next_id++;
  const auto take = [&r](const auto& v) {
    if (v) r.take(*v);
  };
  auto w1 = r.get<cell*>(random()), w2 = r.get<cell*>(random());
  auto b1 = r.get<parcel>(random()), b2 = r.get<parcel>(random());
  cell* const list = make_value<cell*>(a);
  parcel box(b);
  try {
    if (random() % 3 == 0) {
      cairn::select(on_send(w1, list, [&] { r.sent.add(a); }), on_recv(w2, take), on_default(),
                    on_send(b1, std::move(box), [&] { r.sent.add(b); }), on_recv(b2, take));
    } else {
      cairn::select(on_recv(w1, take), on_send(w2, list, [&] { r.sent.add(a); }), on_recv(b1, take),
                    on_send(b2, std::move(box), [&] { r.sent.add(b); }), on_recv(r.signals));
    }
  } catch (const closed_channel&) {
  }
}

void select_dynamically(round_state& r, random_source& random) {
  std::vector<select_case> cases;
  const std::size_t n = 1 + random() % 20;
  const auto take = [&r](const auto& v) {
    if (v) r.take(*v);
  };
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint64_t id = next_id++;
    const auto count = [&r, id] { r.sent.add(id); };
    switch (random() % 5) {
      case 0:
        cases.push_back(on_recv(r.get<cell*>(random()), take));
        break;
      case 1:
        cases.push_back(on_send(r.get<cell*>(random()), make_value<cell*>(id), count));
        break;
      case 2:
        cases.push_back(on_recv(r.get<parcel>(random()), take));
        break;
      case 3:
        cases.push_back(on_send(r.get<parcel>(random()), parcel(id), count));
        break;
      default:
        cases.push_back(on_send(r.signals));
    }
  }
  if (random() % 4 == 0) cases.push_back(on_default());
  try {
    cairn::select(cases);
  } catch (const closed_channel&) {
  }
}

void signal(round_state& r) {
  try {
    r.signals.try_send();
  } catch (const closed_channel&) {
  }
}

void act(round_state& r, random_source& random) {
  switch (random() % 16) {
    case 0:
      if (random() % 8 == 0) r.replace<cell*>(random());
      else r.signals.try_recv();
      break;
    case 1:
      if (random() % 8 == 0) r.replace<parcel>(random());
      else signal(r);
      break;
    case 2:
      churn(random() % 50);
      break;
    case 3:
    case 4:
    case 5:
      send_one<cell*>(r, random);
      break;
    case 6:
    case 7:
      send_one<parcel>(r, random);
      break;
    case 8:
    case 9:
    case 10:
      receive_one<cell*>(r, random);
      break;
    case 11:
    case 12:
      receive_one<parcel>(r, random);
      break;
    case 13:
      select_dynamically(r, random);
      break;
    default:
      select_statically(r, random);
  }
}

void live(round_state& r, std::uint64_t number) {
  random_source random(mix(storm.seed + number));
  while (!r.stop) {
    act(r, random);
    ++storm.steps;
  }
}

// ---- rounds -------------------------------------------------------------------------------------------------------

// One step on every channel, without waiting: so nobody waits for ever.
void nudge(round_state& r) {
  for (std::size_t i = 0; i < k_channels; ++i) {
    if (auto got = r.get<cell*>(i).try_recv(); got.ok) r.take(*got.value);
    if (auto got = r.get<parcel>(i).try_recv(); got.ok) r.take(*got.value);
    const std::uint64_t id = next_id++, other = next_id++;
    try {
      if (r.get<cell*>(i).try_send(make_value<cell*>(id))) r.sent.add(id);
      if (r.get<parcel>(i).try_send(make_value<parcel>(other))) r.sent.add(other);
    } catch (const closed_channel&) {
    }
  }
  r.signals.try_recv();
  signal(r);
}

void end_round(round_state& r) {
  {
    std::lock_guard held(r.lock);
    r.stop = true;
  }
  for (std::size_t i = 0; i < k_channels; ++i) {
    r.replace<cell*>(i);
    r.replace<parcel>(i);
  }
  r.signals.close();
}

using shared_round = cairn::root<round_state>;

shared_round make_round() {
  const shared_round r = cairn::make_gc<round_state>();
  for (std::size_t i = 0; i < k_channels; ++i) {
    r->words[i] = make_chan<cell*>(i % 3);
    r->boxes[i] = make_chan<parcel>(i % 3);
  }
  r->signals = make_chan<void>(1);
  return r;
}

void play(random_source& random, std::chrono::milliseconds time, bool to_the_end) {
  const shared_round r = make_round();
  std::vector<std::thread> threads;
  for (int i = 0; i < k_threads; ++i) threads.emplace_back([r, number = random()] { live(*r, number); });
  on_procs(1 + static_cast<int>(random() % k_procs), [&] {
    wait_group all;
    for (int i = 0; i < k_goroutines; ++i) {
      const std::uint64_t number = random();
      if (to_the_end) all.go([r, number] { live(*r, number); });
      else cairn::go([r, number] { live(*r, number); });
    }
    for (const auto end = clock_type::now() + time; clock_type::now() < end;) {
      nudge(*r);
      cairn::sleep_for(1ms);
    }
    if (!to_the_end) return;
    end_round(*r);
    all.wait();
  });
  if (!to_the_end) end_round(*r);
  for (std::thread& t : threads) t.join();
  if (!to_the_end) return;
  if (r->sent.count != r->received.count) fail("not as many were received as were sent");
  if (r->sent.sum != r->received.sum) fail("others were received than were sent");
}

std::size_t play_all() {
  random_source random(storm.seed);
  const company beside(400us);
  std::size_t rounds = 0;
  for (const auto end = clock_type::now() + storm.time; clock_type::now() < end; ++rounds)
    play(random, std::chrono::milliseconds(100 + random() % 700), random() % 3 != 0);
  return rounds;
}

}  // namespace

int main(int argc, char** argv) {
  begin_storm(argc, argv, "chan_storm", "clobberfree=1,check=2,delay=10");
  std::size_t rounds = 0;
  apart([&] { rounds = play_all(); });
  std::printf("chan_storm: all well: %zu runs, %llu steps, %zu cycles\n", rounds, as_printed(storm.steps),
              cairn::gc::read_stats().gc_cycles);
  return 0;
}
