// The load generator: HTTP/1.1 over loopback from one thread, one request in flight per connection.
//
//   loadgen --port P --path /512 --expect-bytes 512 [--connections 64] [--seconds 2] [--warmup 0.3]
//           [--rate R] [--method GET] [--body-bytes N] [--header 'name: value']... [--new-connection]
//
// Closed loop (no --rate): every connection sends again as soon as its answer is complete.
// Fixed rate: request i is due at start + i/rate whatever the answers do. Its latency counts from when
// it was due, not from when a connection became free for it: coordinated omission cannot occur.
//
// Lines on stdout: {"event":"start"} and {"event":"end"} around the measured window, so that the caller
// can read the proxy's CPU time at both, then {"event":"result",...}. An answer with another status or
// length than expected is an error and not a request.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define HEAD_BYTES 16384
#define READ_BYTES 262144
#define STUCK_NS 10000000000LL       /* a request without an answer for this long is an error */
#define DRAIN_NS 1000000000LL        /* how long the last answers of a fixed rate are waited for */
#define CONNECT_RETRY_NS 10000000LL  /* pause of a connection after a failure */
#define SOURCE_ADDRESSES 16          /* 127.0.0.1 to .16, so that fresh connections never run out of ports */

/* Latencies in µs, log-linear as in HdrHistogram with 3 digits: 2048 exact, then 1024 per doubling. */
#define HALF 1024
#define BUCKETS (HALF * 24)
static uint64_t counts[BUCKETS];

static unsigned bucket_of(uint64_t us) {
  if (us < 2 * HALF) return us;
  unsigned shift = 63 - __builtin_clzll(us) - 10;
  unsigned bucket = shift * HALF + (us >> shift);
  return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

/* The largest value that falls in the bucket: percentiles never look better than they were. */
static uint64_t value_of(unsigned bucket) {
  if (bucket < 2 * HALF) return bucket;
  unsigned shift = bucket / HALF - 1;
  return ((uint64_t)(bucket - shift * HALF + 1) << shift) - 1;
}

enum phase { IDLE, SENDING, HEAD, BODY, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER, TO_CLOSE };

struct connection {
  int fd; /* -1 = none */
  enum phase phase;
  int closes;      /* the answer announced it, or the mode asks for it */
  int is_fresh;    /* the trailer's or chunk size's line has no byte yet */
  long left;       /* of the body or the chunk */
  long body;       /* body bytes seen */
  size_t sent;
  size_t head_length;
  int64_t due;     /* latency counts from here */
  int64_t sent_at; /* time-outs count from here */
  int64_t retry_at; /* after a failure; 0 = not waiting */
  char head[HEAD_BYTES];
};

static struct {
  uint64_t connect, read, status, length, timeout, malformed;
} errors;
static struct connection **connections;
static struct connection **idle; /* a ring: the connection that has rested longest is used next */
static unsigned idle_head, idle_tail;
static int connection_count = 64, epoll_fd, timer_fd, port, is_new_connection;
static long expect_bytes = -1;
static int expect_status = 200;
static double rate;
static char *request;
static size_t request_length;
static int64_t start_ns, measure_ns, end_ns;
static int64_t issued; /* fixed rate: index of the next request */
static uint64_t requests, read_bytes, connects;
static int is_measuring, is_over;
static char buffer[READ_BYTES];

static int64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static int64_t due_ns(int64_t index) { return start_ns + (int64_t)(index * (1e9 / rate)); }

static int is_counted(void) { return is_measuring && !is_over; }

static void send_request(struct connection *c, int64_t due, int64_t now);

static void drop(struct connection *c) {
  if (c->fd >= 0) close(c->fd);
  c->fd = -1;
}

static void fail(struct connection *c, uint64_t *counter) {
  if (is_counted()) ++*counter;
  drop(c);
  c->phase = IDLE;
  c->retry_at = now_ns() + CONNECT_RETRY_NS;
}

/* What a connection does after an answer: closed loop, the next request at once; fixed rate, the next that is due. */
static void next(struct connection *c, int64_t now) {
  if (is_over && rate == 0) return;
  if (rate == 0) {
    send_request(c, now, now);
    return;
  }
  int64_t due = due_ns(issued);
  if (due <= now && due < end_ns) {
    issued++;
    send_request(c, due, now);
    return;
  }
  idle[idle_tail++ % connection_count] = c;
}

static void record(struct connection *c, int64_t now) {
  int is_wanted = rate > 0 ? c->due >= measure_ns : is_counted();
  if (is_wanted) counts[bucket_of((now - c->due) / 1000)]++;
}

static void complete(struct connection *c) {
  if (expect_bytes >= 0 && c->body != expect_bytes) {
    fail(c, &errors.length);
    return;
  }
  int64_t now = now_ns();
  if (is_counted()) requests++;
  record(c, now);
  c->phase = IDLE;
  if (c->closes) drop(c);
  next(c, now);
}

static int open_connection(struct connection *c, int is_blocking) {
  static unsigned opened;
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (is_blocking ? 0 : SOCK_NONBLOCK), 0);
  if (c->fd < 0) return 0;
  int one = 1;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (is_new_connection) {
    struct sockaddr_in source = {.sin_family = AF_INET,
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK + opened++ % SOURCE_ADDRESSES)};
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    bind(c->fd, (struct sockaddr *)&source, sizeof source);
  }
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (connect(c->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS) return 0;
  if (is_blocking) fcntl(c->fd, F_SETFL, O_NONBLOCK);
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event);
  connects++;
  return 1;
}

static void write_request(struct connection *c) {
  ssize_t written = write(c->fd, request + c->sent, request_length - c->sent);
  if (written < 0) {
    if (errno == EAGAIN || errno == ENOTCONN) return; /* EPOLLOUT brings us back */
    fail(c, errno == ECONNREFUSED ? &errors.connect : &errors.read);
    return;
  }
  c->sent += written;
  if (c->sent == request_length) c->phase = HEAD;
}

static void send_request(struct connection *c, int64_t due, int64_t now) {
  c->due = due;
  c->sent_at = now;
  c->sent = c->head_length = 0;
  c->body = 0;
  c->closes = is_new_connection;
  c->phase = SENDING;
  if (c->fd < 0) {
    if (!open_connection(c, 0)) fail(c, &errors.connect);
    return; /* written when the connection stands */
  }
  write_request(c);
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

/* Reads a whole head. Returns 0 when the connection has failed. */
static int read_head(struct connection *c, const char *head, const char *end) {
  if (end - head < 12 || memcmp(head, "HTTP/1.", 7) != 0) {
    fail(c, &errors.malformed);
    return 0;
  }
  int status = atoi(head + 9);
  if (status >= 100 && status < 200) return 1; /* the head that counts is still to come */
  if (status != expect_status) {
    fail(c, &errors.status);
    return 0;
  }
  const char *length = find_header(head, end, "content-length");
  const char *coding = find_header(head, end, "transfer-encoding");
  const char *connection = find_header(head, end, "connection");
  if (connection && strncasecmp(connection, "close", 5) == 0) c->closes = 1;
  if (coding && strncasecmp(coding, "chunked", 7) == 0) {
    c->phase = CHUNK_SIZE;
    c->left = 0;
  } else if (length) {
    c->left = atol(length);
    c->phase = BODY;
  } else {
    c->phase = TO_CLOSE;
  }
  return 1;
}

/* Takes head bytes; returns how many were the head's, or -1 when the connection has failed. */
static long take_head(struct connection *c, const char *bytes, size_t length) {
  if (c->head_length == 0) { /* nearly always: the whole head in one read */
    char *end = memmem(bytes, length, "\r\n\r\n", 4);
    if (end) return read_head(c, bytes, end + 2) ? end + 4 - bytes : -1;
  }
  size_t room = HEAD_BYTES - c->head_length;
  size_t take = length < room ? length : room;
  memcpy(c->head + c->head_length, bytes, take);
  char *end = memmem(c->head, c->head_length + take, "\r\n\r\n", 4);
  if (!end) {
    c->head_length += take;
    if (c->head_length < HEAD_BYTES) return take;
    fail(c, &errors.malformed);
    return -1;
  }
  size_t used = end + 4 - c->head - c->head_length;
  c->head_length = 0;
  return read_head(c, c->head, end + 2) ? (long)used : -1;
}

static int hex_digit(char byte) {
  if (byte >= '0' && byte <= '9') return byte - '0';
  if ((byte | 32) >= 'a' && (byte | 32) <= 'f') return (byte | 32) - 'a' + 10;
  return -1;
}

/* Takes what was read. Returns 0 when the connection was dropped or has begun its next request. */
static int feed(struct connection *c, const char *bytes, size_t length) {
  for (const char *end = bytes + length; bytes < end || (c->phase == BODY && c->left == 0);) {
    switch (c->phase) {
      case HEAD: {
        long used = take_head(c, bytes, end - bytes);
        if (used < 0) return 0;
        bytes += used;
        break;
      }
      case BODY:
      case CHUNK_DATA: {
        long take = end - bytes < c->left ? end - bytes : c->left;
        bytes += take;
        c->left -= take;
        c->body += take;
        if (c->left > 0) break;
        if (c->phase == CHUNK_DATA) {
          c->phase = CHUNK_END;
          break;
        }
        if (bytes < end) {
          fail(c, &errors.malformed);
          return 0;
        }
        complete(c);
        return 0;
      }
      case CHUNK_SIZE:
        if (*bytes == '\n') {
          c->phase = c->left > 0 ? CHUNK_DATA : TRAILER;
          c->is_fresh = 1;
        } else if (hex_digit(*bytes) >= 0) {
          c->left = c->left * 16 + hex_digit(*bytes);
        }
        bytes++;
        break;
      case CHUNK_END:
        if (*bytes++ == '\n') {
          c->phase = CHUNK_SIZE;
          c->left = 0;
        }
        break;
      case TRAILER:
        if (*bytes == '\n' && c->is_fresh) {
          complete(c);
          return 0;
        }
        if (*bytes == '\n')
          c->is_fresh = 1;
        else if (*bytes != '\r')
          c->is_fresh = 0;
        bytes++;
        break;
      case TO_CLOSE:
        c->body += end - bytes;
        bytes = end;
        break;
      default: /* bytes nobody asked for */
        fail(c, &errors.malformed);
        return 0;
    }
  }
  return 1;
}

static void on_end_of_file(struct connection *c) {
  if (c->phase == TO_CLOSE) {
    c->closes = 1;
    complete(c);
  } else if (c->phase == IDLE) {
    drop(c); /* a keep-alive connection retired while it rested */
  } else {
    fail(c, &errors.read);
  }
}

static void on_event(struct connection *c, unsigned events) {
  if (c->fd < 0) return;
  if (c->phase == SENDING && events & (EPOLLOUT | EPOLLERR)) {
    write_request(c);
    if (c->fd < 0) return;
  }
  if (!(events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))) return;
  for (;;) {
    ssize_t got = read(c->fd, buffer, READ_BYTES);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
      if (got < 0 && c->phase != IDLE)
        fail(c, &errors.read);
      else
        on_end_of_file(c);
      return;
    }
    if (is_counted()) read_bytes += got;
    int fd = c->fd;
    if (!feed(c, buffer, got) && (c->fd != fd || c->closes)) return;
    /* A short read has emptied the socket; only an end of file may still be there. */
    if (got < READ_BYTES && !(events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))) return;
  }
}

/* Every 10 ms: connections that rest after a failure, requests that were never answered. */
static void sweep(int64_t now) {
  for (int i = 0; i < connection_count; i++) {
    struct connection *c = connections[i];
    if (c->retry_at > 0 && c->retry_at <= now) {
      c->retry_at = 0;
      next(c, now);
    } else if (c->phase != IDLE && now - c->sent_at > STUCK_NS) {
      fail(c, &errors.timeout);
    }
  }
}

static int in_flight(void) {
  int count = 0;
  for (int i = 0; i < connection_count; i++) count += connections[i]->phase != IDLE;
  return count;
}

static void announce(const char *event) {
  printf("{\"event\":\"%s\"}\n", event);
  fflush(stdout);
}

/* Fixed rate: what is due goes out; the timer wakes us for the next. */
static void send_due(int64_t now) {
  static int64_t armed;
  int64_t due = due_ns(issued);
  while (idle_head != idle_tail && due <= now && due < end_ns) {
    issued++;
    send_request(idle[idle_head++ % connection_count], due, now);
    due = due_ns(issued);
  }
  if (idle_head == idle_tail || due >= end_ns || armed == due) return;
  armed = due;
  struct itimerspec at = {.it_value = {.tv_sec = due / 1000000000, .tv_nsec = due % 1000000000}};
  timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

/* Requests of the window that were never answered count with the time they had waited when we gave up. */
static uint64_t record_unanswered(int64_t now) {
  uint64_t unanswered = 0;
  if (rate == 0) return 0;
  for (int i = 0; i < connection_count; i++)
    if (connections[i]->phase != IDLE) {
      record(connections[i], now);
      unanswered++;
    }
  for (; due_ns(issued) < end_ns; issued++) {
    struct connection waiting = {.due = due_ns(issued)};
    record(&waiting, now);
    unanswered++;
  }
  return unanswered;
}

static void run(double warmup, double seconds) {
  start_ns = now_ns();
  measure_ns = start_ns + (int64_t)(warmup * 1e9);
  end_ns = measure_ns + (int64_t)(seconds * 1e9);
  int64_t swept = start_ns, began = 0, ended = 0;
  for (int i = 0; i < connection_count; i++) next(connections[i], start_ns);
  for (;;) {
    int64_t now = now_ns();
    if (!is_measuring && now >= measure_ns) {
      announce("start");
      is_measuring = 1;
      began = now;
    }
    if (!is_over && now >= end_ns) {
      is_over = 1;
      ended = now;
      announce("end");
    }
    if (is_over) {
      int is_drained = due_ns(issued) >= end_ns && in_flight() == 0;
      if (rate == 0 || is_drained || now >= end_ns + DRAIN_NS) break;
    }
    if (now - swept >= 10000000) {
      swept = now;
      sweep(now);
    }
    if (rate > 0) send_due(now);
    struct epoll_event events[512];
    int count = epoll_wait(epoll_fd, events, 512, 5);
    for (int i = 0; i < count; i++)
      if (events[i].data.ptr) on_event(events[i].data.ptr, events[i].events);
  }
  uint64_t unanswered = record_unanswered(now_ns());
  printf("{\"event\":\"result\",\"seconds\":%.6f,\"requests\":%lu,\"bytes\":%lu,\"connects\":%lu,"
         "\"unanswered\":%lu,\"errors\":{\"connect\":%lu,\"read\":%lu,\"status\":%lu,\"length\":%lu,"
         "\"timeout\":%lu,\"malformed\":%lu},\"latencyUs\":[",
         (ended - began) / 1e9, requests, read_bytes, connects, unanswered, errors.connect, errors.read,
         errors.status, errors.length, errors.timeout, errors.malformed);
  const char *comma = "";
  for (unsigned i = 0; i < BUCKETS; i++)
    if (counts[i] > 0) {
      printf("%s[%lu,%lu]", comma, value_of(i), counts[i]);
      comma = ",";
    }
  printf("]}\n");
  fflush(stdout);
}

static void build_request(const char *method, const char *path, long body, char **headers, int header_count) {
  request = malloc(65536 + (body > 0 ? body : 0));
  int at = sprintf(request, "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n", method, path, port);
  for (int i = 0; i < header_count; i++) at += snprintf(request + at, 4096, "%s\r\n", headers[i]);
  if (is_new_connection) at += sprintf(request + at, "Connection: close\r\n");
  if (body > 0) at += sprintf(request + at, "Content-Length: %ld\r\n", body);
  at += sprintf(request + at, "\r\n");
  if (body > 0) memset(request + at, 'x', body);
  request_length = at + (body > 0 ? body : 0);
}

int main(int argc, char **argv) {
  enum { PORT = 1, PATH, BYTES, CONNECTIONS, SECONDS, WARMUP, RATE, METHOD, BODY_BYTES, HEADER, NEW_CONNECTION };
  static const struct option options[] = {
      {"port", required_argument, 0, PORT},
      {"path", required_argument, 0, PATH},
      {"expect-bytes", required_argument, 0, BYTES},
      {"connections", required_argument, 0, CONNECTIONS},
      {"seconds", required_argument, 0, SECONDS},
      {"warmup", required_argument, 0, WARMUP},
      {"rate", required_argument, 0, RATE},
      {"method", required_argument, 0, METHOD},
      {"body-bytes", required_argument, 0, BODY_BYTES},
      {"header", required_argument, 0, HEADER},
      {"new-connection", no_argument, 0, NEW_CONNECTION},
      {0, 0, 0, 0},
  };
  const char *method = "GET", *path = "/";
  char *headers[128];
  int header_count = 0;
  long request_body = 0;
  double seconds = 2, warmup = 0.3;
  for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
    switch (option) {
      case PORT: port = atoi(optarg); break;
      case PATH: path = optarg; break;
      case BYTES: expect_bytes = atol(optarg); break;
      case CONNECTIONS: connection_count = atoi(optarg); break;
      case SECONDS: seconds = atof(optarg); break;
      case WARMUP: warmup = atof(optarg); break;
      case RATE: rate = atof(optarg); break;
      case METHOD: method = optarg; break;
      case BODY_BYTES: request_body = atol(optarg); break;
      case HEADER: if (header_count < 128) headers[header_count++] = optarg; break;
      case NEW_CONNECTION: is_new_connection = 1; break;
      default: return 2;
    }
  }
  if (port < 1 || port > 65535 || connection_count < 1 || connection_count > 16384 || seconds <= 0 || seconds > 600 ||
      warmup < 0 || warmup > 60 || rate < 0 || request_body > 1 << 26) {
    fprintf(stderr, "loadgen: an option is missing or out of range\n");
    return 2;
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  signal(SIGPIPE, SIG_IGN);
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  struct epoll_event timer = {.events = EPOLLIN | EPOLLET, .data.ptr = NULL};
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer_fd, &timer);
  build_request(method, path, request_body, headers, header_count);
  connections = calloc(connection_count, sizeof *connections);
  idle = calloc(connection_count, sizeof *idle);
  for (int i = 0; i < connection_count; i++) {
    struct connection *c = connections[i] = calloc(1, sizeof *c);
    c->fd = -1;
    if (is_new_connection) continue;
    if (!open_connection(c, 1)) {
      perror("loadgen: connect");
      return 1;
    }
  }
  run(warmup, seconds);
  return 0;
}
