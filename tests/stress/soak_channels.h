// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The soak's channels: of structs with pointers, of what can only be moved, of nothing; with capacity and without. What
// was sent must be received once, and whole.
#pragma once
#include <array>
#include <memory>
#include <mutex>
#include <optional>
#include <type_traits>
#include <vector>

#include "stress/soak.h"

namespace soak {

using cairn::chan;
using cairn::make_chan;
using cairn::on_default;
using cairn::on_recv;
using cairn::on_send;

// Words with pointers.
struct letter {
  std::uint64_t id;
  cairn::gc_ptr<cell> list, second;

  static letter make(std::uint64_t id) {
    cell* const l = make_list(id, 3);
    return {id, l, l->next};
  }
  std::uint64_t open() const {
    expect(is_list(list, id, 3) && second == list->next, "a letter arrived broken");
    return id;
  }
};

// Can only be moved, with a part in malloc'd memory.
class parcel {
 public:
  static parcel make(std::uint64_t id) { return parcel(id); }
  std::uint64_t open() const {
    expect(id_ != nullptr && is_list(list_.get(), *id_, 2), "a parcel arrived broken");
    return *id_;
  }

 private:
  explicit parcel(std::uint64_t id) : id_(std::make_unique<std::uint64_t>(id)), list_(make_list(id, 2)) {}
  std::unique_ptr<std::uint64_t> id_;
  cairn::root<cell> list_;
};

// Some send into a channel of their own, some receive until it is closed.
template <class T>
class deliveries : public kind {
 public:
  using kind::kind;

 private:
  struct delivery {
    explicit delivery(std::size_t capacity) : channel(make_chan<T>(capacity)) {}
    chan<T> channel;
    wait_group senders, receivers;
    tally sent, received;
  };

  static void send(delivery& d, std::uint64_t n) {
    for (; n > 0; --n) {
      const std::uint64_t id = std::is_void_v<T> ? 1 : next_id++;
      if constexpr (std::is_void_v<T>) d.channel.send();
      else d.channel.send(T::make(id));
      d.sent.add(id);
    }
  }
  static void receive(delivery& d) {
    if constexpr (std::is_void_v<T>) {
      while (d.channel.recv()) d.received.add(1);
    } else {
      while (auto v = d.channel.recv()) d.received.add(v->open());
    }
  }
  void act(random_source& random) override {
    delivery d(random() % 2 == 0 ? 0 : random() % 8);
    for (std::uint64_t i = 1 + random() % 3; i-- > 0;) d.senders.go([&d, n = random() % 16] { send(d, n); });
    for (std::uint64_t i = 1 + random() % 3; i-- > 0;) d.receivers.go([&d] { receive(d); });
    d.senders.wait();
    d.channel.close();
    d.receivers.wait();
    expect(d.sent == d.received, "not all that was sent was received");
    try {
      d.channel.close();
      fail("a channel was closed twice");
    } catch (const cairn::closed_channel&) {
    }
  }
};

// Values go through a line of goroutines, by one-way views.
class relays : public kind {
 public:
  relays() : kind("relays") {}

 private:
  void act(random_source& random) override {
    const chan<letter> first = make_chan<letter>();
    cairn::recv_chan<letter> last = first;
    wait_group all;
    for (std::uint64_t i = 1 + random() % 4; i-- > 0;) {
      const chan<letter> next = make_chan<letter>(random() % 2);
      all.go([from = last, to = cairn::send_chan<letter>(next), next] {
        while (auto v = from.recv()) to.send(*v);
        next.close();
      });
      last = next;
    }
    const std::uint64_t id = next_id.fetch_add(8), n = random() % 8;
    all.go([first, id, n] {
      for (std::uint64_t i = 0; i < n; ++i) first.send(letter::make(id + i));
      first.close();
    });
    for (std::uint64_t i = 0; i < n; ++i) {
      const auto v = last.recv();
      expect(v && v->open() == id + i, "a line of channels has changed the order");
    }
    expect(!last.recv(), "a line of channels brought more than it was given");
    all.wait();
  }
};

// Selects of both forms, with times after which they give up, on channels that all share.
class selects : public kind {
 public:
  selects() : kind("selects", 8) {}

 private:
  static constexpr std::size_t k_channels = 3;
  struct shared {
    std::array<chan<letter>, k_channels> letters;
    std::array<chan<parcel>, k_channels> parcels;
    chan<void> signals;
  };

  void begin() override {
    shared_ = cairn::make_gc<shared>();
    for (std::size_t i = 0; i < k_channels; ++i) {
      shared_->letters[i] = make_chan<letter>(i);
      shared_->parcels[i] = make_chan<parcel>(i);
    }
    shared_->signals = make_chan<void>(2);
  }
  void end() override {
    for (std::size_t i = 0; i < k_channels; ++i) {
      while (auto got = shared_->letters[i].try_recv().value) received_.add(got->open());
      while (auto got = shared_->parcels[i].try_recv().value) received_.add(got->open());
    }
    while (shared_->signals.try_recv().ok) received_.add(1);
    expect(sent_ == received_, "selects have not received what selects have sent");
    shared_ = nullptr;
  }

  auto take() {
    return [this](const auto& v) {
      if (v) received_.add(v->open());
    };
  }
  auto count(std::uint64_t id) {
    return [this, id] { sent_.add(id); };
  }
  const chan<letter>& a_letter(random_source& random) const {
    return shared_->letters[random() % k_channels];
  }
  const chan<parcel>& a_parcel(random_source& random) const {
    return shared_->parcels[random() % k_channels];
  }

  void select_statically(random_source& random) {
    const std::uint64_t a = next_id++, b = next_id++;
    parcel box = parcel::make(b);
    const auto from = a_letter(random), to = a_letter(random);
    const auto box_from = a_parcel(random), box_to = a_parcel(random);
    if (random() % 4 == 0) {
      cairn::select(on_send(to, letter::make(a), count(a)), on_recv(from, take()), on_default(),
                    on_send(box_to, std::move(box), count(b)));
      return;
    }
    const int taken = cairn::select(on_recv(from, take()), on_send(to, letter::make(a), count(a)),
                                    on_recv(box_from, take()), on_send(box_to, std::move(box), count(b)),
                                    on_recv(cairn::after(up_to(random, 2000))));
    if (taken != 3) expect(box.open() == b, "a value that was not sent was moved from");
  }
  cairn::select_case any_case(random_source& random) {
    const std::uint64_t id = next_id++;
    switch (random() % 6) {
      case 0:
        return on_recv(a_letter(random), take());
      case 1:
        return on_send(a_letter(random), letter::make(id), count(id));
      case 2:
        return on_recv(a_parcel(random), take());
      case 3:
        return on_send(a_parcel(random), parcel::make(id), count(id));
      case 4:
        return on_recv(shared_->signals, [this](bool ok) {
          if (ok) received_.add(1);
        });
      default:
        return on_send(shared_->signals, count(1));
    }
  }
  void select_dynamically(random_source& random) {
    std::vector<cairn::select_case> cases;
    for (std::uint64_t i = 1 + random() % 12; i-- > 0;) cases.push_back(any_case(random));
    if (random() % 4 == 0) cases.push_back(on_default());
    else cases.push_back(on_recv(cairn::after(up_to(random, 2000))));
    const int taken = cairn::select(cases);
    expect(taken >= 0 && static_cast<std::size_t>(taken) < cases.size(),
           "a select took a case that there is not");
  }
  void act(random_source& random) override {
    if (random() % 2 == 0) select_statically(random);
    else select_dynamically(random);
  }

  cairn::root<shared> shared_;
  tally sent_, received_;
};

}  // namespace soak
