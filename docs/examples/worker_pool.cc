// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// A pool of workers: as many goroutines as may be at work at once, which take jobs from one channel
// until it is closed. A job brings the channel on which its sender waits for the answer. A worker
// that a job's exception would end answers with it instead.
//
// Goroutines are cheap, so a pool is for limiting what is done at once (open files, connections),
// not for saving them. Where that is all, sync::errgroup::set_limit or a sync::semaphore do it with
// one goroutine a job.
//
// Shows: channels in messages, messages of any type, sync::wait_group, exceptions as values.
#include <cairn/cairn.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <utility>

struct answer {
  int words = 0;
  std::exception_ptr error;
};
struct job {
  std::string text;
  cairn::send_chan<answer> reply;
};

int count_words(const std::string& text) {
  if (text.empty()) throw std::invalid_argument("there is no text");
  return 1 + static_cast<int>(std::count(text.begin(), text.end(), ' '));
}

class word_counter {
 public:
  explicit word_counter(int workers) {
    for (int i = 0; i < workers; ++i) workers_.go([jobs = jobs_] { work(jobs); });
  }
  // Waits for the jobs that were accepted.
  ~word_counter() {
    jobs_.close();
    workers_.wait();
  }

  // The answer comes on a channel with room for it: a worker never waits for who asked, even if
  // that one has gone.
  cairn::recv_chan<answer> count(std::string text) {
    auto reply = cairn::make_chan<answer>(1);
    jobs_.send({std::move(text), reply});
    return reply;
  }

 private:
  static void work(cairn::recv_chan<job> jobs) {
    for (job j : jobs) {
      answer a;
      try {
        a.words = count_words(j.text);
      } catch (const std::exception&) {
        a.error = std::current_exception();
      }
      j.reply.send(std::move(a));
    }
  }

  cairn::chan<job> jobs_ = cairn::make_chan<job>();
  cairn::sync::wait_group workers_;
};

int main() {
  return cairn::run([] {
    word_counter counter(3);
    cairn::vector<cairn::recv_chan<answer>> answers;
    for (const char* text : {"one", "and two", "the third of them", "", "five words make a sentence"})
      answers.push_back(counter.count(text));

    for (const auto& from : answers) {  // in the order of the questions, whoever was faster
      const answer a = *from.recv();
      try {
        if (a.error) std::rethrow_exception(a.error);
        std::printf("words: %d\n", a.words);
      } catch (const std::invalid_argument& e) {
        std::printf("failed: %s\n", e.what());
      }
    }
  });
}
