// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The sieve of Eratosthenes as a chain of goroutines, from the paper of C. A. R. Hoare that
// channels come from: each prime has one, which passes on what it does not divide. The chain grows
// by a goroutine a prime, and comes down by itself: a filter whose source is closed ends, and
// closes its own channel.
//
// Shows: many goroutines on unbuffered channels, close as a message, channels that nobody has to
// free.
#include <cairn/cairn.h>

#include <cstdio>

// 2, 3, 4, ... up to `last`.
cairn::recv_chan<int> count_to(int last) {
  auto numbers = cairn::make_chan<int>();
  cairn::go([=] {
    for (int n = 2; n <= last; ++n) numbers.send(n);
    numbers.close();
  });
  return numbers;
}

// What of `source` is no multiple of `prime`.
cairn::recv_chan<int> without_multiples(int prime, cairn::recv_chan<int> source) {
  auto rest = cairn::make_chan<int>();
  cairn::go([=] {
    for (int n : source)
      if (n % prime != 0) rest.send(n);
    rest.close();
  });
  return rest;
}

int main() {
  return cairn::run([] {
    int count = 0;
    cairn::recv_chan<int> numbers = count_to(100);
    while (auto prime = numbers.recv()) {  // the first that came through all filters
      std::printf("%d ", *prime);
      numbers = without_multiples(*prime, numbers);
      ++count;
    }
    std::printf("\n%d primes\n", count);
  });
}
