// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "bench/depgraph/launch.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <new>
#include <system_error>

#include <cairn/cairn.h>

#include "bench/depgraph/index_reader.h"
#include "bench/depgraph/latency.h"
#include "bench/depgraph/report.h"
#include "bench/depgraph/wire.h"

extern "C" char** environ;

namespace depgraph {
namespace {

constexpr const char* k_check = "check";

std::string read_all(int fd) {
  std::string out;
  char buffer[4096];
  for (;;) {
    ssize_t got = ::read(fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return out;
    out.append(buffer, static_cast<std::size_t>(got));
  }
}

std::string failure_of(int status) {
  if (WIFSIGNALED(status)) return std::string("ended by signal: ") + ::strsignal(WTERMSIG(status));
  if (WEXITSTATUS(status) != 0) return "ended with status " + std::to_string(WEXITSTATUS(status));
  return {};
}

// A child says what it found on standard output; what a user should see meanwhile goes to standard error.
int child_main(const command_line& line) {
  records from = index_file(line.input).read();
  if (line.child == k_check) {
    check_plan what;
    what.seed = line.what.seed;
    if (!line.check_only) what.queries = 50;
    checked found = check_answers(from, what);
    std::printf("%llu %llu\n", static_cast<unsigned long long>(found.answers),
                static_cast<unsigned long long>(found.wrong));
    return found.wrong == 0 ? 0 : 1;
  }
  measured found = run_setting(from, read_child_argument(line.child), line.what);
  std::fputs(to_lines(found).c_str(), stdout);
  return 0;
}

class session {
 public:
  session(const command_line& line, index_file& input) : line_(line), input_(input) {}
  int run();

 private:
  bool check();
  void measure(const setting& how);
  bool write_json() const;
  std::vector<std::string> arguments(const std::string& child) const;

  const command_line& line_;
  index_file& input_;
  std::vector<measured> rows_;
  bool good_ = true;
};

std::vector<std::string> session::arguments(const std::string& child) const {
  char seconds[40];
  std::snprintf(seconds, sizeof seconds, "%.15g", line_.what.seconds);
  std::vector<std::string> out{input_.path_for_child(), "--child", child, "--seconds", seconds};
  out.insert(out.end(), {"--in-flight", std::to_string(line_.what.in_flight)});
  out.insert(out.end(), {"--procs", std::to_string(line_.what.procs)});
  out.insert(out.end(), {"--seed", std::to_string(line_.what.seed)});
  if (line_.check_only) out.push_back("--check");
  return out;
}

bool session::check() {
  std::fprintf(stderr, "checking answers before timing...\n");
  child_result child = run_child(arguments(k_check));
  unsigned long long answers = 0, wrong = 0;
  bool whole = std::sscanf(child.output.c_str(), "%llu %llu", &answers, &wrong) == 2;
  if (whole)
    std::printf("%llu answers compared with the plain implementation, %llu wrong\n\n", answers, wrong);
  std::fflush(stdout);
  if (!child.failure.empty()) std::fprintf(stderr, "depgraph: the check %s\n", child.failure.c_str());
  return whole && child.failure.empty();
}

void session::measure(const setting& how) {
  std::fprintf(stderr, "GC %s: %.3g s...\n", how.title().c_str(), line_.what.seconds);
  child_result child = run_child(arguments(child_argument(how)));
  measured row;
  row.how = how;
  bool whole = from_lines(child.output, row);
  if (!whole && child.failure.empty()) child.failure = "ended without its figures";
  if (!child.failure.empty()) {
    std::fprintf(stderr, "depgraph: the process for GC %s %s\n", how.title().c_str(), child.failure.c_str());
    good_ = false;
    return;
  }
  good_ = good_ && row.wrong == 0;
  rows_.push_back(row);
  std::fputs(setting_block(row).c_str(), stdout);
  std::fflush(stdout);
}

bool session::write_json() const {
  std::ofstream file(line_.json);
  file << json_document(rows_, line_.what);
  file.close();
  if (!file) std::fprintf(stderr, "depgraph: %s: cannot be written\n", line_.json.c_str());
  return !file.fail();
}

int session::run() {
  good_ = check();
  if (line_.check_only) return good_ ? 0 : 1;
  for (const setting& how : line_.settings) measure(how);
  if (!rows_.empty()) std::fputs(final_table(rows_, line_.what).c_str(), stdout);
  if (!line_.json.empty() && !write_json()) good_ = false;
  return good_ ? 0 : 1;
}

int parent_main(const command_line& line) {
  index_file input(line.input);
  {
    clock::time_point begin = clock::now();
    records from = input.read();
    double seconds = std::chrono::duration<double>(clock::now() - begin).count();
    std::fputs(index_line(from, seconds).c_str(), stdout);
    std::fflush(stdout);
  }
  return session(line, input).run();
}

}  // namespace

child_result run_child(const std::vector<std::string>& arguments) {
  std::vector<char*> argv;
  std::string self = "depgraph";
  argv.push_back(self.data());
  std::vector<std::string> copies = arguments;
  for (std::string& argument : copies) argv.push_back(argument.data());
  argv.push_back(nullptr);

  int ends[2];
  if (::pipe(ends) != 0) return {{}, std::string("cannot have a pipe: ") + std::strerror(errno)};
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addclose(&actions, ends[0]);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  ::posix_spawn_file_actions_addclose(&actions, ends[1]);
  pid_t pid = 0;
  int error = ::posix_spawn(&pid, "/proc/self/exe", &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  child_result out;
  if (error == 0) out.output = read_all(ends[0]);
  ::close(ends[0]);
  if (error != 0) return {{}, std::string("cannot be started: ") + std::strerror(error)};
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  out.failure = failure_of(status);
  return out;
}

std::string child_argument(const setting& how) {
  if (!how.has_limit) return "percent:" + std::to_string(how.percent);
  return "limit:" + std::to_string(how.limit_bytes);
}

setting read_child_argument(const std::string& text) {
  setting out;
  std::size_t colon = text.find(':');
  std::string value = colon == text.npos ? "" : text.substr(colon + 1);
  out.has_limit = text.starts_with("limit:");
  if (out.has_limit) out.limit_bytes = value == "0" ? 0 : read_limit(value);
  else if (text.starts_with("percent:")) out.percent = value == "-1" ? cairn::gc_off : read_percent(value);
  else throw usage_error("--child " + text + ": is the program's own option");
  if (out.has_limit) out.percent = cairn::gc_off;
  return out;
}

int depgraph_main(const std::vector<std::string>& arguments) {
  try {
    command_line line = read_command_line(arguments);
    if (line.help) {
      std::fputs(help_text(), stdout);
      return 0;
    }
    return line.child.empty() ? parent_main(line) : child_main(line);
  } catch (const index_error& e) {
    std::fprintf(stderr, "%s\n", e.what());
  } catch (const usage_error& e) {
    std::fprintf(stderr, "depgraph: %s (see depgraph --help)\n", e.what());
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "depgraph: out of memory\n");
    return 1;
  } catch (const std::system_error& e) {
    std::fprintf(stderr, "depgraph: %s\n", e.what());
    return 1;
  }
  return 2;
}

}  // namespace depgraph
