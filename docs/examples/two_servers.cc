// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Two TCP servers in one process that live and die together: when one fails both stop accepting, who is being
// served is still served, and then main learns what had happened.
//
// All of it (servers, connections, who stops them, the client) is goroutines of one errgroup. The first that throws
// cancels its context. wait() returns when the last has ended, so nothing is closed while somebody uses it.
//
// Shows: sync::errgroup and its context, wait_readable, wait_writable, would_block, the system's own sockets.
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

// The result of a system call. Throws why it has failed.
long check(long result) {
  if (result == -1) throw std::system_error(errno, std::generic_category());
  return result;
}

// A non-blocking socket, closed at its end. Who waits in its functions keeps no thread waiting.
struct tcp_socket {
  explicit tcp_socket(int made = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)) : fd(made) {
    check(made);
  }
  tcp_socket(tcp_socket&& other) noexcept : fd(std::exchange(other.fd, -1)) {}
  ~tcp_socket() { ::close(fd); }

  // Up to the end of the line, or of what comes; for a minute at most.
  std::string read_line() const {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    std::string line;
    for (char c = 0; c != '\n'; line += c) {
      long n;
      while (cairn::would_block(n = ::read(fd, &c, 1)))
        if (!cairn::wait_readable(fd, deadline)) throw std::runtime_error("nothing was said for a minute");
      if (check(n) == 0) break;
    }
    return line;
  }
  void write(std::string_view text) const {
    for (long sent; !text.empty(); text.remove_prefix(check(sent)))
      while (cairn::would_block(sent = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL)))
        cairn::wait_writable(fd);
  }
  int fd;
};

struct server {
  explicit server(std::string its_name) : name(std::move(its_name)) {
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    socklen_t size = sizeof address;
    check(::bind(listener.fd, any, size));
    check(::listen(listener.fd, 16));
    check(::getsockname(listener.fd, any, &size));
  }

  // Accepts until the group's context is cancelled.
  void run_in(cairn::sync::errgroup& group) {
    group.go([&] {
      group.ctx().done().recv();
      ::shutdown(listener.fd, SHUT_RD);  // wakes who waits for it
    });
    group.go([&] {
      for (;;) {  // until accept4 fails, because of the shutdown: after the failure that counts
        int fd;
        while (cairn::would_block(fd = ::accept4(listener.fd, nullptr, nullptr, SOCK_NONBLOCK)))
          cairn::wait_readable(listener.fd);
        group.go([this, client = tcp_socket(fd)] { serve(client); });
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
    const int result = ::connect(made.fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
    if (!cairn::would_block(result)) check(result);  // if it would, reading waits for it
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
