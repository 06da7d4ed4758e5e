// The upstream servers of every measured proxy: one thread, one port per endpoint, answers from memory.
// Lean on purpose: on a small machine whatever the backend burns is taken from the proxy under test.
//
//   backend PORT_COUNT
//
// Prints one line, {"ports":[...]}, then serves until killed or until its parent dies.
// GET /N answers N bytes; GET /hN answers N bytes with 20 headers; a request body is read in full and
// counted in the answer's x-received. It takes pipelined requests and answers them in one write.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_PORTS 64
#define MAX_ANSWERS 32
#define IN_BYTES 65536
#define QUEUE 64 /* answers waiting on one connection; reading stops when it is full */

struct answer {
  char *bytes;
  size_t length;
  size_t body_bytes;
  int kind; /* 'p' plain, 'h' with 20 headers */
  long received;
};

struct connection {
  int fd;
  int is_closing; /* after what is queued has been written */
  int closes_after_body;
  int wants_out;
  int has_more;
  long body_left; /* request body bytes still to come */
  struct answer *after_body;
  size_t in_length;
  unsigned queue_head, queue_tail;
  size_t sent; /* of the answer at queue_head */
  struct answer *queue[QUEUE];
  char in[IN_BYTES];
};

static struct answer answers[MAX_ANSWERS];
static int answer_count;
static struct answer not_understood;
static int epoll_fd;
static int listeners[MAX_PORTS];

static void make_answer(struct answer *answer, int kind, size_t body_bytes, long received) {
  char head[4096];
  int at = snprintf(head, sizeof head,
                    "HTTP/1.1 200 OK\r\nServer: backend\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
                    "Content-Type: application/octet-stream\r\nContent-Length: %zu\r\n"
                    "x-received: %ld\r\n",
                    body_bytes, received);
  if (kind == 'h')
    for (int i = 0; i < 15; i++) /* 5 are above already */
      at += snprintf(head + at, sizeof head - at, "x-response-%02d: value-of-response-header-%02d\r\n", i, i);
  at += snprintf(head + at, sizeof head - at, "\r\n");
  answer->kind = kind;
  answer->body_bytes = body_bytes;
  answer->received = received;
  answer->length = at + body_bytes;
  answer->bytes = malloc(answer->length);
  memcpy(answer->bytes, head, at);
  for (size_t i = 0; i < body_bytes; i++) answer->bytes[at + i] = 'a' + i % 26;
}

static struct answer *find_answer(int kind, size_t body_bytes, long received) {
  for (int i = 0; i < answer_count; i++)
    if (answers[i].kind == kind && answers[i].body_bytes == body_bytes && answers[i].received == received)
      return &answers[i];
  if (answer_count == MAX_ANSWERS || body_bytes > 64 << 20) return &not_understood;
  make_answer(&answers[answer_count], kind, body_bytes, received);
  return &answers[answer_count++];
}

static void watch(struct connection *c, int wants_out) {
  if (c->wants_out == wants_out) return;
  c->wants_out = wants_out;
  /* While answers wait, nothing more is read: the peer feels the backpressure. */
  struct epoll_event event = {.events = wants_out ? EPOLLOUT : EPOLLIN, .data.ptr = c};
  epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
}

static void destroy(struct connection *c) {
  close(c->fd);
  free(c);
}

/* Writes what waits. Returns 0 when the connection is gone. */
static int flush(struct connection *c) {
  while (c->queue_head != c->queue_tail) {
    struct iovec parts[QUEUE];
    int count = 0;
    size_t skip = c->sent;
    for (unsigned i = c->queue_head; i != c->queue_tail; i++) {
      struct answer *answer = c->queue[i % QUEUE];
      parts[count].iov_base = answer->bytes + skip;
      parts[count++].iov_len = answer->length - skip;
      skip = 0;
    }
    ssize_t written = writev(c->fd, parts, count);
    if (written < 0) {
      if (errno == EAGAIN) {
        watch(c, 1);
        return 1;
      }
      destroy(c);
      return 0;
    }
    while (written > 0) {
      size_t left = c->queue[c->queue_head % QUEUE]->length - c->sent;
      if ((size_t)written < left) {
        c->sent += written;
        break;
      }
      written -= left;
      c->sent = 0;
      c->queue_head++;
    }
  }
  if (c->is_closing) {
    destroy(c);
    return 0;
  }
  watch(c, 0);
  return 1;
}

static const char *find_header(const char *head, const char *end, const char *name) {
  size_t length = strlen(name);
  for (const char *line = memchr(head, '\n', end - head); line && line + 1 + length < end;
       line = memchr(line + 1, '\n', end - line - 1))
    if (line[1 + length] == ':' && strncasecmp(line + 1, name, length) == 0) {
      const char *value = line + 2 + length;
      while (*value == ' ') value++;
      return value;
    }
  return NULL;
}

/* Takes the complete requests out of the buffer. */
static void parse(struct connection *c) {
  size_t at = 0;
  c->has_more = 0;
  while (c->queue_tail - c->queue_head < QUEUE && !c->is_closing) {
    if (c->after_body) {
      size_t take = c->in_length - at;
      if ((long)take > c->body_left) take = c->body_left;
      at += take;
      c->body_left -= take;
      if (c->body_left > 0) break;
      c->queue[c->queue_tail++ % QUEUE] = c->after_body;
      c->after_body = NULL;
      c->is_closing = c->closes_after_body;
      continue;
    }
    char *head = c->in + at;
    char *end = memmem(head, c->in_length - at, "\r\n\r\n", 4);
    if (!end) {
      if (at == 0 && c->in_length == IN_BYTES) c->is_closing = 1;
      break;
    }
    end += 2; /* the last header line keeps its line end */
    const char *target = memchr(head, ' ', end - head);
    const char *length = find_header(head, end, "content-length");
    const char *connection = find_header(head, end, "connection");
    long body_bytes = length ? atol(length) : 0;
    int kind = target && target[2] == 'h' ? 'h' : 'p';
    struct answer *answer = &not_understood;
    if (target && target[1] == '/' && !find_header(head, end, "transfer-encoding"))
      answer = find_answer(kind, strtoul(target + 2 + (kind == 'h'), NULL, 10), body_bytes);
    int closes = answer == &not_understood || (connection && strncasecmp(connection, "close", 5) == 0);
    at = end + 2 - c->in;
    if (body_bytes > 0) {
      c->after_body = answer;
      c->body_left = body_bytes;
      c->closes_after_body = closes;
      continue;
    }
    c->is_closing = closes;
    c->queue[c->queue_tail++ % QUEUE] = answer;
  }
  c->has_more = c->queue_tail - c->queue_head == QUEUE;
  if (at > 0) {
    memmove(c->in, c->in + at, c->in_length - at);
    c->in_length -= at;
  }
}

/* Answers everything complete in the buffer. Returns 0 when the connection is gone. */
static int serve(struct connection *c) {
  do {
    parse(c);
    if (!flush(c)) return 0;
    /* A full queue may have left complete requests in the buffer. */
  } while (!c->wants_out && c->has_more);
  return 1;
}

static void on_event(struct connection *c, unsigned events) {
  if (c->wants_out) {
    if (events & (EPOLLERR | EPOLLHUP)) {
      destroy(c);
      return;
    }
    if (!flush(c) || c->wants_out || !serve(c) || c->wants_out) return;
  }
  for (;;) {
    size_t room = IN_BYTES - c->in_length;
    ssize_t got = read(c->fd, c->in + c->in_length, room);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
      destroy(c);
      return;
    }
    c->in_length += got;
    if (!serve(c) || c->wants_out) return;
    if ((size_t)got < room) return;
  }
}

static void on_accept(int listener) {
  for (;;) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct connection *c = malloc(sizeof *c);
    memset(c, 0, offsetof(struct connection, in)); /* the buffer needs no zeroes */
    c->fd = fd;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
  }
}

int main(int argc, char **argv) {
  int ports = argc > 1 ? atoi(argv[1]) : 1;
  if (ports < 1 || ports > MAX_PORTS) return 2;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  signal(SIGPIPE, SIG_IGN);
  static char refusal[] = "HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
  not_understood = (struct answer){.bytes = refusal, .length = sizeof refusal - 1};
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  printf("{\"ports\":[");
  for (int i = 0; i < ports; i++) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = listeners[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bind(fd, (struct sockaddr *)&address, length) || listen(fd, 4096)) {
      perror("listen");
      return 1;
    }
    getsockname(fd, (struct sockaddr *)&address, &length);
    printf("%s%d", i ? "," : "", ntohs(address.sin_port));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &listeners[i]};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
  }
  printf("]}\n");
  fflush(stdout);
  for (;;) {
    struct epoll_event events[256];
    int count = epoll_wait(epoll_fd, events, 256, -1);
    for (int i = 0; i < count; i++) {
      int *listener = events[i].data.ptr;
      if (listener >= listeners && listener < listeners + MAX_PORTS)
        on_accept(*listener);
      else
        on_event(events[i].data.ptr, events[i].events);
    }
  }
}
