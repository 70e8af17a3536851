// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// A pipeline whose consumer stops early. Each stage is a function from a channel to a channel, with
// a goroutine in between that works until its source is closed or the context is cancelled. So a
// consumer that has seen enough cancels, and no stage is left behind, waiting to send what nobody
// wants.
//
// Shows: context, with_cancel, select between a send and done(), sync::wait_group, defer.
#include <cairn/cairn.h>

#include <cstdio>
#include <string>
#include <utility>

// What all stages of one pipeline share. It outlives them.
class pipeline {
 public:
  explicit pipeline(cairn::context parent) : pipeline(cairn::with_cancel(parent)) {}
  ~pipeline() { stop(); }

  // Returns when all stages have ended. After the first time it does nothing.
  void stop() {
    cancel_();
    stages_.wait();
  }

  // body(send) makes the values. send(value) is false once the pipeline has been cancelled.
  template <class T, class F>
  cairn::recv_chan<T> stage(F body) {
    auto out = cairn::make_chan<T>();
    stages_.go([this, out, body] {
      cairn::defer at_end{[&] { out.close(); }};
      body([&](T value) {
        return cairn::select(cairn::on_send(out, std::move(value)), cairn::on_recv(ctx_.done())) == 0;
      });
    });
    return out;
  }

 private:
  explicit pipeline(std::pair<cairn::context, cairn::cancel_func> made)
      : ctx_(made.first), cancel_(made.second) {}

  cairn::context ctx_;
  cairn::cancel_func cancel_;
  cairn::sync::wait_group stages_;
};

// 1, 2, 3, ...: without end.
cairn::recv_chan<long> naturals(pipeline& p) {
  return p.stage<long>([](auto send) {
    for (long n = 1; send(n); ++n) {
    }
  });
}

cairn::recv_chan<long> squares(pipeline& p, cairn::recv_chan<long> numbers) {
  return p.stage<long>([=](auto send) {
    for (long n : numbers)
      if (!send(n * n)) return;
  });
}

cairn::recv_chan<std::string> palindromes(pipeline& p, cairn::recv_chan<long> numbers) {
  return p.stage<std::string>([=](auto send) {
    for (long n : numbers) {
      std::string text = std::to_string(n);
      if (text == std::string(text.rbegin(), text.rend()) && !send(std::move(text))) return;
    }
  });
}

int main() {
  return cairn::run([] {
    pipeline p(cairn::background());
    int count = 0;
    for (const std::string& text : palindromes(p, squares(p, naturals(p)))) {
      std::printf("%s\n", text.c_str());
      if (++count == 8) break;
    }
    p.stop();
    std::puts("all stages have ended");
  });
}
