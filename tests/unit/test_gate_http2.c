#include "gate.h"
#include "h2bytes.h"
#include "limits.h"
#include "tap.h"
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A client that reads when it is told to, and a gate between whose ends the kernel keeps little. */
enum { PIECE = 16 << 10, SMALL = 4096, TURNS = 20000 };
static char dir[64];
static struct event_base *base;
static struct vcr_ca *ca;
static struct vcr_gate *gate;
static struct vcr_gate_exchange *now;
static struct vcr_buf seen;
static int client;
static bool relays;

static void on_request(void *ctx, struct vcr_gate_exchange *x, const struct vcr_gate_request *q)
{
	vcr_buf_printf(&seen, "%s;", q->target);
	now = x;
}

static void on_done(void *ctx, struct vcr_gate_exchange *x, enum vcr_gate_fate fate)
{
	vcr_buf_puts(&seen, fate == VCR_GATE_DELIVERED ? "delivered;" : "gone;");
}

static bool on_relay(void *ctx, struct vcr_gate_exchange *x, const struct vcr_gate_request *q)
{
	now = x;
	return relays;
}

static void on_input(void *ctx, struct vcr_gate_exchange *x, const char *p, size_t n)
{
	vcr_buf_add(&seen, p, n);
}

static enum vcr_gate_meant meant(void *ctx, const struct sockaddr *peer, char host[VCR_GATE_HOST], int *pid)
{
	strcpy(host, "api.openai.com:80");
	return VCR_MEANT_HOST;
}

/* The gate's end of the client's connection. */
static int far_end(void)
{
	struct sockaddr_in own, peer;
	socklen_t n = sizeof own;
	ck_assert_int_eq(getsockname(client, (struct sockaddr *)&own, &n), 0);
	for (int fd = 3; fd < 1000; fd++)
		if (n = sizeof peer, fd != client && !getpeername(fd, (struct sockaddr *)&peer, &n) && peer.sin_port == own.sin_port)
			return fd;
	return -1;
}

static void turn(void)
{
	event_base_loop(base, EVLOOP_NONBLOCK);
	poll(NULL, 0, 1);
}

static void until(const char *words)
{
	for (int i = 0; i < TURNS && !strstr(seen.data, words); i++)
		turn();
	ck_assert_msg(strstr(seen.data, words) != NULL, "%s: %s", words, seen.data);
}

static void start(bool relay)
{
	static const struct vcr_gate_handler handler = { .request = on_request, .done = on_done, .relay = on_relay, .input = on_input };
	static const char *const hosts[] = { "api.openai.com", NULL };
	struct vcr_error e = { 0 };
	char path[100];
	int small = SMALL, fd = -1;
	relays = relay;
	strcpy(dir, "/tmp/vcr-test-gate-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/run", dir);
	vcr_buf_init(&seen, 0);
	base = event_base_new();
	struct vcr_ca_options c = { .base = path, .hosts = hosts };
	ck_assert_msg(!vcr_ca_open(&ca, &c, &e), "%s", e.what);
	struct vcr_gate_options o = { .base = base, .ca = ca, .token = "0123456789abcdef0123456789abcdef", .handler = &handler, .meant = meant };
	ck_assert_msg(!vcr_gate_new(&gate, &o, &e), "%s", e.what);
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)vcr_gate_port(gate)), .sin_addr = { htonl(INADDR_LOOPBACK) } };
	client = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(client, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	ck_assert_int_eq(connect(client, (struct sockaddr *)&a, sizeof a), 0);
	for (int i = 0; i < TURNS && (fd = far_end()) < 0; i++)
		turn();
	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
}

static void stop(void)
{
	char command[128];
	close(client);
	vcr_gate_free(gate);
	vcr_ca_free(ca);
	event_base_free(base);
	vcr_buf_release(&seen);
	snprintf(command, sizeof command, "rm -rf '%s'", dir);
	ck_assert_int_eq(system(command), 0);
}

static void say(const char *p, size_t n)
{
	ck_assert_int_eq(send(client, p, n, MSG_NOSIGNAL), (ssize_t)n);
}

/* A call whose windows are wide. */
static void ask(void)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	nghttp2_hd_deflater *d;
	nghttp2_hd_deflate_new(&d, 4096);
	vcr_buf_puts(&b, H2_PREFACE);
	h2_frame(&b, H2_SETTINGS, 0, 0, "\0\4\x7f\xff\xff\xff", 6);
	h2_frame(&b, H2_WINDOW, 0, 0, "\x7f\xff\0\0", 4);
	h2_headers(&b, d, H2_END_STREAM, 1, ":method=POST\n:scheme=http\n:path=/v1/x\n:authority=api.openai.com");
	say(b.data, b.len);
	nghttp2_hd_deflate_del(d);
	until("/v1/x;");
}

/* More than the kernel takes; how much. */
static size_t write_much(size_t least)
{
	static char piece[PIECE];
	size_t n = 0;
	for (; vcr_gate_backlog(now) <= least; n += sizeof piece) {
		memset(piece, '.', sizeof piece);
		ck_assert_int_eq(vcr_gate_body(now, piece, sizeof piece), 0);
		ck_assert_int_eq(vcr_gate_flush(now), 0);
	}
	return n;
}

/* Up to n bytes, as far as they come; how many. */
static size_t hear(char *to, size_t n)
{
	size_t got = 0;
	for (int idle = 0; got < n && idle < 100; idle++) {
		ssize_t k = recv(client, to + got, n - got < SMALL ? n - got : SMALL, MSG_DONTWAIT);
		if (k == 0)
			break;
		if (k > 0)
			got += (size_t)k, idle = 0;
		turn();
	}
	return got;
}

START_TEST(an_answer_is_delivered_when_all_of_it_is_with_the_kernel)
{
	static char text[8 << 20];
	start(false);
	ask();
	ck_assert_int_eq(vcr_gate_head(now, 200, "OK", NULL, 0, -1), 0);
	write_much(1);
	ck_assert_int_eq(vcr_gate_end(now), 0);
	for (int i = 0; i < 50; i++)
		turn();
	ck_assert_str_eq(seen.data, "/v1/x;"); /* nobody has read it yet */
	hear(text, sizeof text);
	until("delivered;");
	stop();
}
END_TEST

START_TEST(an_answer_whose_last_bytes_a_client_that_left_has_not_got_is_not_delivered)
{
	start(false);
	ask();
	ck_assert_int_eq(vcr_gate_head(now, 200, "OK", NULL, 0, -1), 0);
	write_much(1);
	ck_assert_int_eq(vcr_gate_end(now), 0);
	close(client);
	client = -1;
	until("gone;");
	ck_assert_str_eq(seen.data, "/v1/x;gone;");
	stop();
}
END_TEST

START_TEST(what_is_held_does_not_go_out_with_what_was_said_before)
{
	static char text[8 << 20];
	start(true);
	say(H2_PREFACE, strlen(H2_PREFACE));
	until("PRI");
	size_t n = write_much(PIECE);
	ck_assert_int_eq(vcr_gate_body(now, "held ", 5), 0);
	ck_assert_int_eq(vcr_gate_body(now, "as long as it is not flushed", 28), 0);
	ck_assert_uint_eq(hear(text, sizeof text), n);
	ck_assert_int_eq(vcr_gate_flush(now), 0);
	ck_assert_uint_eq(hear(text, 33), 33);
	ck_assert_mem_eq(text, "held as long as it is not flushed", 33);
	stop();
}
END_TEST

START_TEST(a_client_that_has_read_the_most_of_what_was_said_is_heard_again)
{
	static char text[SMALL];
	start(true);
	say(H2_PREFACE, strlen(H2_PREFACE));
	until("PRI");
	write_much(VCR_MAX_GATE_BACKLOG);
	say("first;", 6);
	until("first;");
	say("second;", 7);
	for (int i = 0; i < 50; i++)
		turn();
	ck_assert_ptr_null(strstr(seen.data, "second;"));
	while (!strstr(seen.data, "second;") && hear(text, sizeof text))
		;
	ck_assert_ptr_nonnull(strstr(seen.data, "second;"));
	ck_assert_uint_gt(vcr_gate_backlog(now), 0);
	stop();
}
END_TEST

static TCase *gate_case(void)
{
	TCase *tc = tcase_create("gate_http2");
	tcase_add_test(tc, an_answer_is_delivered_when_all_of_it_is_with_the_kernel);
	tcase_add_test(tc, an_answer_whose_last_bytes_a_client_that_left_has_not_got_is_not_delivered);
	tcase_add_test(tc, what_is_held_does_not_go_out_with_what_was_said_before);
	tcase_add_test(tc, a_client_that_has_read_the_most_of_what_was_said_is_heard_again);
	return tc;
}

TAP_MAIN("gate_http2", gate_case)
