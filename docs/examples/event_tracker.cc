// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// A tracker of events that loses none: callers hand over events and go on, a goroutine writes them,
// and shutdown(ctx) waits until all are written, but no longer than the caller's context allows.
// Whoever starts a goroutine knows how it ends, and can wait for that.
//
// Shows: a service around a channel, close as the request to finish, contexts that limit waiting.
#include <cairn/cairn.h>

#include <cstdio>
#include <string>
#include <system_error>
#include <utility>

class tracker {
 public:
  // `write` is called for one event after the other, and may take its time. (No std::function: it
  // would keep the function in memory in which the collector does not look.)
  template <class F>
  explicit tracker(F write) {
    cairn::go([events = events_, finished = finished_, write = std::move(write)] {
      for (const std::string& e : events) write(e);
      finished.close();
    });
  }

  // Waits while too many are waiting to be written. Must not be called any more when shutdown is:
  // an event after it throws closed_channel.
  std::error_code event(cairn::context ctx, std::string what) const {
    if (cairn::select(cairn::on_send(events_, std::move(what)), cairn::on_recv(ctx.done())) == 1)
      return ctx.err();
    return {};
  }

  // No more events. Returns when those accepted have been written, or with the error of `ctx` when
  // that is cancelled before. Once.
  std::error_code shutdown(cairn::context ctx) const {
    events_.close();
    if (cairn::select(cairn::on_recv(finished_), cairn::on_recv(ctx.done())) == 1) return ctx.err();
    return {};
  }

 private:
  cairn::chan<std::string> events_ = cairn::make_chan<std::string>(10);
  cairn::chan<void> finished_ = cairn::make_chan<void>();
};

void report(std::error_code error) {
  std::printf("shutdown: %s\n", error ? error.message().c_str() : "all events are written");
}

int main() {
  return cairn::run([] {
    using namespace std::chrono_literals;
    const cairn::context ctx = cairn::background();

    const tracker good([](const std::string& e) {
      cairn::sleep_for(100us);
      std::printf("written: %s\n", e.c_str());
    });
    for (const char* e : {"sign in", "search", "sign out"})
      if (good.event(ctx, e)) return 1;
    auto [patient, cancel] = cairn::with_timeout(ctx, 1h);
    cairn::defer release{cancel};
    report(good.shutdown(patient));

    // One whose sink hangs (on a null channel: for ever) does not take its program with it.
    const tracker stuck([](const std::string&) { cairn::chan<void>().recv(); });
    if (stuck.event(ctx, "lost")) return 1;
    auto [hasty, cancel_hasty] = cairn::with_timeout(ctx, 5ms);
    cairn::defer release_hasty{cancel_hasty};
    report(stuck.shutdown(hasty));
    return 0;
  });
}
