// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// A leak of goroutines, and its repair. Ask three servers, take the first answer: on a channel
// without capacity the two slower ones wait for ever to be received from, and keep their stacks and
// what is on them. The collector frees objects that nobody can reach, but it does not end
// goroutines: somebody may have forgotten something.
//
// Shows: how such goroutines are found, in a running program too; that a channel with room lets
// them end.
#include <cairn/cairn.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <string>
#include <utility>

std::string ask(int server) { return "answer of server " + std::to_string(server); }

std::string first_answer(std::size_t room) {
  auto answers = cairn::make_chan<std::string>(room);
  for (int server = 0; server < 3; ++server) cairn::go([=] { answers.send(ask(server)); });
  return *answers.recv();
}

// The leak: nobody receives the second and the third answer.
std::string leaky_answer() { return first_answer(0); }
// The repair: there is room for all of them.
std::string repaired_answer() { return first_answer(3); }

// Those who wait to send just now, leaked or not.
std::size_t count_senders() {
  const auto all = cairn::goroutines();
  return std::count_if(all.begin(), all.end(), [](const auto& g) { return g.wait_reason == "chan send"; });
}

// On a goroutine of its own, with whose stack nothing is left that refers to the channels.
void ask_ten_times(std::string (*question)()) {
  cairn::spawn([=] {
    for (int i = 0; i < 10; ++i) question();
  }).get();
}

// Waits until the goroutines that were started have ended, or are stuck.
void settle() {
  while (cairn::num_goroutines() > 1 + count_senders()) cairn::yield();
}

int main() {
  return cairn::run([] {
    ask_ten_times(leaky_answer);
    settle();
    const std::size_t left = cairn::num_goroutines() - 1;  // but for this one
    // It accuses nobody wrongly, and may miss some: a stale word on a stack may still lead to a channel.
    const auto leaked = cairn::goroutine_leaks();
    std::printf("leaky: %zu goroutines are left, for ever in \"%s\"\n", left,
                leaked.front().wait_reason.c_str());

    ask_ten_times(repaired_answer);
    settle();
    std::printf("repaired: %zu more\n", cairn::num_goroutines() - 1 - left);
  });
}
