// The kernel's floor for proxying: bytes from one socket to another, one upstream connection for each
// client connection, nothing parsed. Whatever a proxy costs below this it saves by batching system
// calls over several requests; whatever it costs above is its own work.
//
//   relay PORT...        upstream ports on 127.0.0.1, taken in turn
//
// Prints one line, {"port":N}, then serves until killed or until its parent dies. One thread, edge
// triggered: bytes that the far side does not take wait in the pair's own buffer, and until they have
// gone nothing more is read from the near side.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_BYTES 65536

struct side {
  struct side *other;
  int fd;
  int is_connected; /* 0 while the upstream connection is being made */
  int has_ended;    /* end of file was read here */
  size_t waiting;   /* bytes in `buffer` still to be written to this side */
  size_t offset;
  char *buffer; /* allocated at the first partial write */
  struct side *next_dead;
};

static char shared[BUFFER_BYTES];
static int epoll_fd;
static struct side *dead; /* freed after the batch of events that may still name them */

static void destroy(struct side *side) {
  if (side->fd < 0) return;
  struct side *other = side->other;
  close(side->fd);
  close(other->fd);
  side->fd = other->fd = -1;
  side->next_dead = dead; /* the other half is reached through this one */
  dead = side;
}

static void free_dead(void) {
  while (dead) {
    struct side *side = dead;
    dead = side->next_dead;
    free(side->buffer);
    free(side->other->buffer);
    free(side->other);
    free(side);
  }
}

/* Writes to `to`; what it does not take is kept. Returns 0 when the pair is gone. */
static int forward(struct side *to, const char *bytes, size_t length) {
  ssize_t written = to->is_connected ? write(to->fd, bytes, length) : 0;
  if (written < 0) {
    if (errno != EAGAIN) {
      destroy(to);
      return 0;
    }
    written = 0;
  }
  if ((size_t)written == length) return 1;
  if (!to->buffer) to->buffer = malloc(BUFFER_BYTES);
  to->offset = 0;
  to->waiting = length - written;
  memcpy(to->buffer, bytes + written, to->waiting);
  return 1;
}

/* Moves what can be read from `from`. Returns 0 when the pair is gone. */
static int pump(struct side *from) {
  while (from->other->waiting == 0 && !from->has_ended) {
    ssize_t got = read(from->fd, shared, BUFFER_BYTES);
    if (got < 0) {
      if (errno == EAGAIN) return 1;
      destroy(from);
      return 0;
    }
    if (got == 0) {
      from->has_ended = 1;
      break;
    }
    if (!forward(from->other, shared, got)) return 0;
    /* A short read has emptied the socket: the next bytes are a new edge, and so is an end of file. */
    if (got < BUFFER_BYTES) return 1;
  }
  if (from->has_ended && from->other->waiting == 0) {
    destroy(from);
    return 0;
  }
  return 1;
}

static void on_event(struct side *side, unsigned events) {
  if (side->fd < 0) return;
  if (events & EPOLLOUT) {
    side->is_connected = 1;
    if (side->waiting > 0) {
      ssize_t written = write(side->fd, side->buffer + side->offset, side->waiting);
      if (written < 0 && errno != EAGAIN) {
        destroy(side);
        return;
      }
      if (written > 0) {
        side->offset += written;
        side->waiting -= written;
      }
      if (side->waiting == 0 && !pump(side->other)) return;
    }
  }
  if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
    if (!pump(side)) return;
    /* pump stops after a short read; the end of file that came with it is read here. */
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) pump(side);
  }
}

static int open_pair(int client, int port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return 0;
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int result = connect(fd, (struct sockaddr *)&address, sizeof address);
  if (result < 0 && errno != EINPROGRESS) {
    close(fd);
    return 0;
  }
  struct side *downstream = calloc(1, sizeof *downstream);
  struct side *upstream = calloc(1, sizeof *upstream);
  *downstream = (struct side){.other = upstream, .fd = client, .is_connected = 1};
  *upstream = (struct side){.other = downstream, .fd = fd, .is_connected = result == 0};
  int one = 1;
  setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  unsigned events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  struct epoll_event down = {.events = events, .data.ptr = downstream};
  struct epoll_event up = {.events = events, .data.ptr = upstream};
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &up);
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, client, &down);
  return 1;
}

int main(int argc, char **argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: relay PORT...\n");
    return 2;
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  signal(SIGPIPE, SIG_IGN);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (bind(listener, (struct sockaddr *)&address, length) || listen(listener, 4096)) {
    perror("listen");
    return 1;
  }
  getsockname(listener, (struct sockaddr *)&address, &length);
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
  printf("{\"port\":%d}\n", ntohs(address.sin_port));
  fflush(stdout);
  for (int next = 0;;) {
    struct epoll_event events[256];
    int count = epoll_wait(epoll_fd, events, 256, -1);
    for (int i = 0; i < count; i++) {
      if (events[i].data.ptr) {
        on_event(events[i].data.ptr, events[i].events);
        continue;
      }
      for (int client; (client = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        if (!open_pair(client, atoi(argv[1 + next % (argc - 1)]))) close(client);
        next++;
      }
    }
    free_dead();
  }
}
