// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Futures. For a result that one goroutine waits for there is spawn(): its task gives the result,
// or the exception, once. Below it, in thirty lines, a future that any number may wait for, also in
// a select: the close of a channel tells them all.
//
// Shows: spawn and task, make_gc of a class template, chan<void> as an event, exceptions between
// goroutines.
#include <cairn/cairn.h>

#include <cstdio>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

// The result of a function that runs on a goroutine of its own. A handle: copies are the same
// future.
template <class T>
class future {
 public:
  template <class F>
  explicit future(F f) : state_(cairn::make_gc<state>()) {
    cairn::go([s = state_, f = std::move(f)] {
      try {
        s->value = f();
      } catch (const std::exception&) {  // anything else ends the program, as in any goroutine
        s->error = std::current_exception();
      }
      s->ready.close();
    });
  }

  // Closed when the result is there.
  cairn::recv_chan<void> ready() const { return state_->ready; }

  // Waits for it. What was written before the close is seen by who received it.
  const T& get() const {
    state_->ready.recv();
    if (state_->error) std::rethrow_exception(state_->error);
    return *state_->value;
  }

  // The future of f(the result). An exception goes through.
  template <class F>
  auto then(F f) const {
    return future<std::invoke_result_t<F, const T&>>(
        [self = *this, f = std::move(f)] { return f(self.get()); });
  }

 private:
  struct state {
    cairn::chan<void> ready = cairn::make_chan<void>();
    std::optional<T> value;
    std::exception_ptr error;
  };
  cairn::gc_ptr<state> state_;
};

long fibonacci(int n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }

int main() {
  return cairn::run([] {
    // One waits for one.
    auto small = cairn::spawn(fibonacci, 10);
    auto large = cairn::spawn(fibonacci, 20);
    std::printf("%ld and %ld\n", small.get(), large.get());

    // Many wait for one, and what comes after it is said before it is there.
    future<long> number([] { return fibonacci(25); });
    future<std::string> text = number.then([](long n) { return "it is " + std::to_string(n); });
    future<std::size_t> length = text.then([](const std::string& s) { return s.size(); });
    std::printf("%s, in %zu characters\n", text.get().c_str(), length.get());

    // A failure comes to all who wait.
    future<long> broken([]() -> long { throw std::runtime_error("no answer"); });
    future<long> after_it = broken.then([](long n) { return n + 1; });
    try {
      std::printf("%ld\n", after_it.get());
    } catch (const std::runtime_error& e) {
      std::printf("failed: %s\n", e.what());
    }

    // Not for ever.
    auto answer_comes = cairn::make_chan<int>();
    future<int> slow([=] { return *answer_comes.recv(); });
    using namespace std::chrono_literals;
    if (cairn::select(cairn::on_recv(slow.ready()), cairn::on_recv(cairn::after(5ms))) == 1)
      std::puts("not yet");
    answer_comes.send(42);
    std::printf("now: %d\n", slow.get());
  });
}
