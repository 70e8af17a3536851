// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Runs a program with arguments and additional environment, and takes what it wrote and how it ended. A child
// that does not end in time is killed.
#pragma once
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "patience.h"

namespace process {

struct outcome {
  int exit_status = -1;  // -1: ended by a signal
  int signal = 0;
  bool timed_out = false;
  std::string out, err;
  long max_rss_kib = 0;

  bool has(const std::string& text) const { return err.find(text) != std::string::npos; }
};

inline std::ostream& operator<<(std::ostream& os, const outcome& o) {
  return os << "exit status " << o.exit_status << ", signal " << o.signal
            << (o.timed_out ? " (timed out)" : "") << "\nstandard output:\n"
            << o.out << "\nstandard error:\n"
            << o.err;
}

// In the child, between fork and exec: only async-signal-safe calls.
[[noreturn]] inline void become(const char* program, char* const* argv, char* const* env, int out, int err) {
  dup2(out, STDOUT_FILENO);
  dup2(err, STDERR_FILENO);
  rlimit core{0, 0};
  getrlimit(RLIMIT_CORE, &core);
  core.rlim_cur = 0;  // a program that is meant to leave one raises it again
  setrlimit(RLIMIT_CORE, &core);
  execve(program, argv, env);
  _exit(127);
}

// Reads both pipes until the child has closed them. False when that takes too long.
inline bool drain(int out, int err, outcome& o, std::chrono::seconds limit) {
  cairn_test::patience left(limit);
  pollfd fds[2] = {{out, POLLIN, 0}, {err, POLLIN, 0}};
  char buffer[4096];
  while (fds[0].fd >= 0 || fds[1].fd >= 0) {
    if (left.is_over()) return false;
    if (poll(fds, 2, 100) <= 0) continue;
    for (int i = 0; i < 2; ++i) {
      if (fds[i].fd < 0 || fds[i].revents == 0) continue;
      const ssize_t n = read(fds[i].fd, buffer, sizeof buffer);
      if (n > 0) (i == 0 ? o.out : o.err).append(buffer, static_cast<std::size_t>(n));
      else if (n == 0) fds[i].fd = -1;
    }
  }
  return true;
}

// `environment`: "NAME=value" each, before what this process has; Cairn's own variables are not inherited.
inline outcome run(const std::string& program, std::vector<std::string> arguments,
                   std::vector<std::string> environment = {},
                   std::chrono::seconds limit = std::chrono::seconds(240)) {
  std::vector<char*> argv{const_cast<char*>(program.c_str())}, env;
  for (auto& a : arguments) argv.push_back(a.data());
  for (auto& e : environment) env.push_back(e.data());
  for (char** e = environ; *e != nullptr; ++e)
    if (std::string_view(*e).substr(0, 5) != "CAIRN" || std::string_view(*e).substr(0, 10) == "CAIRN_TEST")
      env.push_back(*e);
  argv.push_back(nullptr);
  env.push_back(nullptr);
  outcome o;
  int out[2], err[2];
  if (pipe(out) != 0 || pipe(err) != 0) return o;
  const pid_t child = fork();
  if (child == 0) become(program.c_str(), argv.data(), env.data(), out[1], err[1]);
  close(out[1]);
  close(err[1]);
  if (!drain(out[0], err[0], o, limit)) {
    o.timed_out = true;
    kill(child, SIGKILL);
  }
  int status = 0;
  rusage usage{};
  wait4(child, &status, 0, &usage);
  close(out[0]);
  close(err[0]);
  if (WIFEXITED(status)) o.exit_status = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) o.signal = WTERMSIG(status);
  o.max_rss_kib = usage.ru_maxrss;
  return o;
}

}  // namespace process
