// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// A generator with a quit channel: a function returns the channel on which its goroutine sends, and
// the goroutine ends when the caller closes `quit`. It closes its own channel last, so the caller
// can wait until it has tidied up.
//
// Shows: chan, its one-way views, chan<void>, select with a send and a receive, a loop over a
// channel, defer.
#include <cairn/cairn.h>

#include <cstdio>

// The Fibonacci numbers, until `quit` is closed; then the channel returned is.
cairn::recv_chan<long> fibonacci(cairn::recv_chan<void> quit) {
  auto numbers = cairn::make_chan<long>();
  cairn::go([=] {
    cairn::defer at_end{[&] {
      std::puts("generator: quits");
      numbers.close();
    }};
    for (long a = 0, b = 1;; b += a, a = b - a)
      if (cairn::select(cairn::on_send(numbers, a), cairn::on_recv(quit)) == 1) return;
  });
  return numbers;
}

int main() {
  return cairn::run([] {
    auto quit = cairn::make_chan<void>();
    auto numbers = fibonacci(quit);
    for (long n : numbers) {
      std::printf("%ld\n", n);
      if (n > 100) break;
    }

    // Closing tells all who listen, now and later, where a send would tell one of them.
    quit.close();
    while (numbers.recv()) {
      // Both cases of its select are possible while we receive: some more numbers may come before
      // it sees `quit`.
    }
    std::puts("main: the generator has ended");
  });
}
