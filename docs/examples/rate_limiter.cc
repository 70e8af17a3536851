// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// A rate limiter: a bucket of tokens that a ticker fills, one a period, and from which every
// request takes one. The bucket is a buffered channel; its capacity is how many requests may come
// at once after a quiet time.
//
// Shows: ticker, chan<void> as a semaphore, try_send, try_recv, select, contexts with timeouts.
#include <cairn/cairn.h>

#include <chrono>
#include <cstdio>
#include <system_error>

using namespace std::chrono_literals;
using std::chrono::steady_clock;

class rate_limiter {
 public:
  // A request every `period`, and up to `burst` at once. It works until `ctx` is cancelled.
  rate_limiter(cairn::context ctx, std::chrono::nanoseconds period, std::size_t burst)
      : tokens_(cairn::make_chan<void>(burst)) {
    for (std::size_t i = 0; i < burst; ++i) tokens_.send();
    cairn::go([tokens = tokens_, ctx, tick = cairn::ticker(period)] {
      while (cairn::select(cairn::on_recv(tick.c()), cairn::on_recv(ctx.done())) == 0)
        tokens.try_send();  // a full bucket stays full
    });
  }

  // Waits for a token, or until `ctx` is cancelled; then it says why.
  std::error_code wait(cairn::context ctx) const {
    if (cairn::select(cairn::on_recv(tokens_), cairn::on_recv(ctx.done())) == 1) return ctx.err();
    return {};
  }
  // Does not wait.
  bool allow() const { return tokens_.try_recv().ok; }

 private:
  cairn::chan<void> tokens_;
};

int main() {
  return cairn::run([] {
    auto [ctx, cancel] = cairn::with_cancel(cairn::background());
    cairn::defer stop{cancel};

    const auto start = steady_clock::now();
    const rate_limiter limiter(ctx, 2ms, 3);
    for (int request = 1; request <= 8; ++request) {
      if (auto error = limiter.wait(ctx)) std::printf("%s\n", error.message().c_str());
      std::printf("request %d\n", request);
    }
    // Three at once and five ticks; how much longer it took depends on the machine.
    if (steady_clock::now() - start >= 5 * 2ms) std::puts("no faster than allowed");

    const rate_limiter strict(ctx, 1h, 1);
    std::puts(strict.allow() ? "allowed" : "refused");
    std::puts(strict.allow() ? "allowed" : "refused");
    auto [impatient, give_up] = cairn::with_timeout(ctx, 5ms);
    cairn::defer release{give_up};
    std::printf("%s\n", strict.wait(impatient).message().c_str());
  });
}
