// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Timeouts: a context says how long a whole task may take, and is passed to everything that works
// on it. Each step waits for what it needs or for the context, whichever comes first; a step may
// give itself less time, never more.
//
// Shows: with_timeout, with_cancel_cause, err, cause, deadline, values of a context, children of
// cancelled contexts.
#include <cairn/cairn.h>

#include <chrono>
#include <cstdio>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

using namespace std::chrono_literals;

// A page from a server that takes so long. Throws the cause if the context is cancelled before.
std::string fetch(cairn::context ctx, std::string page, std::chrono::nanoseconds takes) {
  const auto reply = cairn::make_chan<std::string>(
      1);  // with room: an answer that comes too late waits for nobody
  const cairn::timer server = cairn::after_func(takes, [=] { reply.send("<" + page + ">"); });
  cairn::defer hang_up{[&] { server.stop(); }};

  std::optional<std::string> answer;
  cairn::select(cairn::on_recv(reply, [&](auto received) { answer = std::move(received); }),
                cairn::on_recv(ctx.done()));
  if (!answer) std::rethrow_exception(ctx.cause());
  return *answer;
}

// Two pages within one time limit. Who asks is a value of the context.
void visit(cairn::context ctx, std::chrono::nanoseconds news_take) {
  const auto* const user = ctx.value<std::string>("user");
  try {
    const std::string pages = fetch(ctx, "index", 1ms) + fetch(ctx, "news", news_take);
    std::printf("%s has seen %s\n", user->c_str(), pages.c_str());
  } catch (const std::exception& e) {
    std::printf("%s has seen nothing: %s\n", user->c_str(), e.what());
  }
}

int main() {
  return cairn::run([] {
    const cairn::context ann = cairn::with_value(cairn::background(), "user", std::string("Ann"));
    {
      auto [ctx, cancel] = cairn::with_timeout(ann, 1h);
      cairn::defer release{cancel};  // else its timer would run for the hour
      visit(ctx, 1ms);
    }
    {
      auto [ctx, cancel] = cairn::with_timeout(ann, 20ms);
      cairn::defer release{cancel};
      visit(ctx, 1h);
    }
    {
      // Cancelled by somebody, who says why. err() only tells that it was.
      auto [ctx, cancel] = cairn::with_cancel_cause(ann);
      cairn::go(
          [cancel = cancel] { cancel(std::make_exception_ptr(std::runtime_error("it is closing time"))); });
      visit(ctx, 1h);
      std::printf("%s\n", ctx.err().message().c_str());
    }
    {
      // Below a context that ends sooner more time is no more time. Below one that has ended there
      // is none.
      auto [hour, cancel_hour] = cairn::with_timeout(ann, 1h);
      auto [day, cancel_day] = cairn::with_timeout(hour, 24h);
      cairn::defer release{cancel_day};
      if (day.deadline() == hour.deadline()) std::puts("a day is an hour here");
      cancel_hour();
      auto [late, cancel_late] = cairn::with_timeout(day, 24h);
      cairn::defer release_late{cancel_late};
      if (late.err() == cairn::context_errc::canceled) std::puts("and the hour is over");
    }
  });
}
