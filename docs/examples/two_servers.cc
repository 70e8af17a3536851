// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Two TCP servers in one process that live and die together: when one fails both stop accepting, who is being
// served is still served, and then main learns what had happened.
//
// All of it (servers, connections, who stops them, here the client too) is goroutines of one errgroup. The first
// that throws cancels the group's context. wait() returns when the last has ended, so nothing is closed while
// somebody uses it.
//
// Shows: sync::errgroup and its context, wait_readable and wait_writable, deadlines, the system's own sockets.
#include <arpa/inet.h>
#include <cairn/cairn.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

// True if the system call would have had to wait. Throws what else it has failed with. Not inlined: errno is the
// thread's, and a function that waits may go on in another thread with the address of the first one's.
[[gnu::noinline]] bool would_wait(long result) {
  if (result != -1) return false;
  if (errno == EAGAIN || errno == EINPROGRESS) return true;
  throw std::system_error(errno, std::generic_category());
}

// A non-blocking socket, closed at its end. Who waits in these functions keeps no thread waiting.
struct tcp_socket {
  explicit tcp_socket(int made = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)) : fd(made) {
    would_wait(fd);
  }
  tcp_socket(tcp_socket&& other) noexcept : fd(std::exchange(other.fd, -1)) {}
  ~tcp_socket() { ::close(fd); }

  // Up to the end of the line, or of what comes; for a minute at most.
  std::string read_line() const {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    std::string line;
    for (char c = 0; c != '\n';) {
      const long n = ::read(fd, &c, 1);
      if (n == 0) break;
      if (!would_wait(n)) line += c;
      else if (!cairn::wait_readable(fd, deadline)) throw std::runtime_error("nothing was said for a minute");
    }
    return line;
  }
  void write(std::string_view text) const {
    for (long sent; !text.empty(); text.remove_prefix(sent))
      while (would_wait(sent = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL))) cairn::wait_writable(fd);
  }
  int fd;
};

struct server {
  explicit server(std::string its_name) : name(std::move(its_name)) {
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    socklen_t size = sizeof address;
    would_wait(::bind(listener.fd, any, size));
    would_wait(::listen(listener.fd, 16));
    would_wait(::getsockname(listener.fd, any, &size));
  }

  // Accepts until the group's context is cancelled.
  void run_in(cairn::sync::errgroup& group) {
    group.go([&] {
      group.ctx().done().recv();
      ::shutdown(listener.fd, SHUT_RD);  // wakes who waits for it
    });
    group.go([&] {
      for (;;) {  // until accept4 fails, because of the shutdown: after the failure that counts
        const int fd = ::accept4(listener.fd, nullptr, nullptr, SOCK_NONBLOCK);
        if (would_wait(fd)) cairn::wait_readable(listener.fd);
        else group.go([this, client = tcp_socket(fd)] { serve(client); });
      }
    });
  }
  void serve(const tcp_socket& client) const {
    client.write(name + " is listening\n");
    const std::string line = client.read_line();
    if (line == "fail\n") throw std::runtime_error(name + " was told to fail");
    client.write(name + " has heard: " + line);
  }
  // A connection that is being served.
  tcp_socket connect() const {
    tcp_socket made;
    would_wait(::connect(made.fd, reinterpret_cast<const sockaddr*>(&address), sizeof address));
    std::printf("%s", made.read_line().c_str());
    return made;
  }
  std::string name;
  tcp_socket listener;
  sockaddr_in address{AF_INET, 0, {htonl(INADDR_LOOPBACK)}, {}};  // any port that is free
};

int main() {
  return cairn::run([] {
    server alpha("alpha"), beta("beta");
    cairn::sync::errgroup group;
    alpha.run_in(group), beta.run_in(group);
    group.go([&] {
      const tcp_socket to_alpha = alpha.connect(), to_beta = beta.connect();
      to_beta.write("fail\n");
      group.ctx().done().recv();  // beta has failed
      to_alpha.write("still there?\n");
      std::printf("%s", to_alpha.read_line().c_str());
    });
    try {
      group.wait();
    } catch (const std::exception& e) {
      std::printf("stopped: %s\n", e.what());
    }
  });
}
