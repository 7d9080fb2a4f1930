#include "gate.h"
#include "tap.h"
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const char token[] = "0123456789abcdef0123456789abcdef";
static char dir[64];
static struct event_base *base;
static struct vcr_ca *ca;
static struct vcr_gate *gate;

/* What the handler saw and does. */
static struct {
	struct vcr_buf log;
	struct vcr_gate_exchange *x;
	void (*act)(struct vcr_gate_exchange *x);
	int drained, pid;
} seen;

static void on_request(void *ctx, struct vcr_gate_exchange *x, const struct vcr_gate_request *q)
{
	vcr_buf_printf(&seen.log, "%s %s://%s%s %zu%s;", q->method, q->tls ? "https" : "http", q->host, q->target, q->nbody, q->way == VCR_GATE_BASE_URL ? " base" : "");
	seen.x = x;
	seen.pid = q->pid;
	if (seen.act)
		seen.act(x);
}

static void on_drained(void *ctx, struct vcr_gate_exchange *x)
{
	seen.drained++;
}

static void on_done(void *ctx, struct vcr_gate_exchange *x, enum vcr_gate_fate fate)
{
	static const char *const words[] = { "delivered", "unread", "gone" };
	vcr_buf_printf(&seen.log, "%s;", words[fate]);
}

static void on_tunnel(void *ctx, struct vcr_gate_exchange *x, const char *host, int port)
{
	vcr_buf_printf(&seen.log, "tunnel %s:%d;", host, port);
	vcr_gate_cut(x, VCR_CUT_RESET);
}

static bool tunnels; /* has the gate a way to other hosts? */

static void start(struct vcr_gate_options o)
{
	static const struct vcr_gate_handler handler = { .request = on_request, .drained = on_drained, .done = on_done },
		with = { .request = on_request, .drained = on_drained, .done = on_done, .tunnel = on_tunnel };
	static const char *const hosts[] = { "api.openai.com", "model.example:5443", NULL };
	struct vcr_error e = { 0 };
	char path[100];
	strcpy(dir, "/tmp/vcr-test-gate-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/run", dir);
	memset(&seen, 0, sizeof seen);
	vcr_buf_init(&seen.log, 0);
	base = event_base_new();
	struct vcr_ca_options c = { .base = path, .hosts = hosts };
	ck_assert_msg(!vcr_ca_open(&ca, &c, &e), "%s", e.what);
	o.base = base;
	o.ca = ca;
	o.token = token;
	o.handler = tunnels ? &with : &handler;
	ck_assert_msg(!vcr_gate_new(&gate, &o, &e), "%s", e.what);
}

static void stop(void)
{
	char command[128];
	vcr_gate_free(gate);
	vcr_ca_free(ca);
	event_base_free(base);
	vcr_buf_release(&seen.log);
	snprintf(command, sizeof command, "rm -rf '%s'", dir);
	ck_assert_int_eq(system(command), 0);
}

static int dial(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)vcr_gate_port(gate)), .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
	return fd;
}

static void say(int fd, const char *text)
{
	ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Turn the loop until the log holds the words. */
static void until(const char *words)
{
	for (int i = 0; i < 20000 && !strstr(seen.log.data, words); i++) {
		event_base_loop(base, EVLOOP_NONBLOCK);
		poll(NULL, 0, 1);
	}
	ck_assert_msg(strstr(seen.log.data, words) != NULL, "%s: %s", words, seen.log.data);
}

static struct vcr_gate_stats stats(void)
{
	struct vcr_gate_stats s;
	vcr_gate_stats(gate, &s);
	return s;
}

/* Turn the loop until there is something to read; what it is, "" at the end, "reset" if it was. */
static const char *hear(int fd)
{
	static char text[70000];
	ssize_t n = -1;
	for (int i = 0; i < 20000 && (n = recv(fd, text, sizeof text - 1, MSG_DONTWAIT)) < 0 && errno == EAGAIN; i++) {
		event_base_loop(base, EVLOOP_NONBLOCK);
		poll(NULL, 0, 1);
	}
	if (n < 0)
		return errno == ECONNRESET ? "reset" : "nothing";
	text[n] = 0;
	return text;
}

#define BASE "/vcr-0123456789abcdef0123456789abcdef/"
#define POST(host) "POST " BASE host "/v1/x?y HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"

static void answer_hi(struct vcr_gate_exchange *x)
{
	vcr_gate_simple(x, 200, NULL, "hi", 2, NULL);
}

START_TEST(a_request_says_which_host_it_is_for)
{
	start((struct vcr_gate_options){ 0 });
	seen.act = answer_hi;
	static const struct { const char *say, *want; } cases[] = {
		{ POST("api.openai.com"), "POST https://api.openai.com/v1/x?y 3 base;delivered;" },
		{ POST("api.openai.com:443"), "POST https://api.openai.com/v1/x?y 3 base;delivered;" },
		{ POST("api.openai.com:8443"), "POST https://api.openai.com:8443/v1/x?y 3 base;delivered;" },
		{ POST("http:localhost:11434"), "POST http://localhost:11434/v1/x?y 3 base;delivered;" },
		{ "GET " BASE "api.openai.com HTTP/1.1\r\n\r\n", "GET https://api.openai.com/ 0 base;delivered;" },
		{ "GET http://a.example:80/x HTTP/1.1\r\nProxy-Authorization: Bearer 0123456789abcdef0123456789abcdef\r\n\r\n", "GET http://a.example/x 0;delivered;" },
		{ "VCR1 0123456789abcdef0123456789abcdef a.example:80\nGET /x HTTP/1.1\r\nHost: other\r\n\r\n", "GET http://a.example/x 0;delivered;" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int fd = dial();
		vcr_buf_reset(&seen.log);
		say(fd, cases[i].say);
		until("delivered;");
		ck_assert_str_eq(seen.log.data, cases[i].want);
		ck_assert_str_eq(hear(fd), "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 2\r\n\r\nhi");
		close(fd);
	}
	stop();
}
END_TEST

static enum vcr_gate_meant told(void *ctx, const struct sockaddr *peer, char host[VCR_GATE_HOST], int *pid)
{
	++*(int *)ctx;
	ck_assert_int_eq(peer->sa_family, AF_INET);
	strcpy(host, "a.example:8000");
	return *(int *)ctx == 1 ? VCR_MEANT_HOST : *(int *)ctx == 2 ? VCR_MEANT_PROXY : VCR_MEANT_UNKNOWN;
}

START_TEST(where_a_connection_was_meant_to_go_is_asked_once_and_stands_for_the_token)
{
	int asked = 0;
	start((struct vcr_gate_options){ .meant = told, .meant_ctx = &asked });
	seen.act = answer_hi;
	int fd = dial();
	say(fd, "GET /x HTTP/1.1\r\nHost: ");
	for (int i = 0; i < 5; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
	say(fd, "b\r\n\r\n");
	until("delivered;");
	ck_assert_str_eq(seen.log.data, "GET http://a.example:8000/x 0;delivered;");
	hear(fd); /* closing with it unread would be told too */
	close(fd);
	vcr_buf_reset(&seen.log);
	fd = dial();
	say(fd, "GET http://b.example/y HTTP/1.1\r\n\r\n");
	until("delivered;");
	ck_assert_str_eq(seen.log.data, "GET http://b.example/y 0;delivered;");
	hear(fd);
	close(fd);
	fd = dial();
	say(fd, "GET /z HTTP/1.1\r\nHost: b\r\n\r\n");
	ck_assert_ptr_nonnull(strstr(hear(fd), " 403 "));
	ck_assert_int_eq(asked, 3);
	close(fd);
	stop();
}
END_TEST

static enum vcr_gate_meant told_late(void *ctx, const struct sockaddr *peer, char host[VCR_GATE_HOST], int *pid)
{
	strcpy(host, "a.example:8000");
	return ++*(int *)ctx == 1 ? VCR_MEANT_UNKNOWN : VCR_MEANT_HOST;
}

START_TEST(of_a_connection_that_says_nothing_it_may_be_told_later_where_it_was_meant_to_go)
{
	int asked = 0;
	start((struct vcr_gate_options){ .meant = told_late, .meant_ctx = &asked });
	seen.act = answer_hi;
	int fd = dial();
	for (int i = 0; i < 20000 && !asked; i++) {
		event_base_loop(base, EVLOOP_NONBLOCK);
		poll(NULL, 0, 1);
	}
	say(fd, "GET /x HTTP/1.1\r\nHost: b\r\n\r\n");
	until("delivered;");
	ck_assert_str_eq(seen.log.data, "GET http://a.example:8000/x 0;delivered;");
	ck_assert_int_eq(asked, 2);
	hear(fd);
	close(fd);
	stop();
}
END_TEST

static void begin_answer(struct vcr_gate_exchange *x)
{
	ck_assert_int_eq(vcr_gate_head(x, 200, "OK", NULL, 0, -1), 0);
	ck_assert_int_eq(vcr_gate_body(x, "one", 3), 0);
	ck_assert_int_eq(vcr_gate_flush(x), 0);
}

/* ---- Connections of which only the address is known ---- */

static const char *address;
static int whose;

static enum vcr_gate_meant meant_address(void *ctx, const struct sockaddr *peer, char host[VCR_GATE_HOST], int *pid)
{
	snprintf(host, VCR_GATE_HOST, "%s", address);
	*pid = whose;
	return VCR_MEANT_ADDRESS;
}

/* What a client of TLS says first. */
static size_t hello(const char *name, char *out, size_t room)
{
	SSL_CTX *t = SSL_CTX_new(TLS_client_method());
	SSL *ssl = SSL_new(t);
	BIO *in = BIO_new(BIO_s_mem()), *to = BIO_new(BIO_s_mem());
	SSL_set_bio(ssl, in, to);
	if (name)
		SSL_set_tlsext_host_name(ssl, name);
	SSL_connect(ssl);
	int n = BIO_read(to, out, (int)room);
	ck_assert_int_gt(n, 100);
	SSL_free(ssl);
	SSL_CTX_free(t);
	return (size_t)n;
}

static void start_by_address(const char *where)
{
	address = where;
	tunnels = true;
	start((struct vcr_gate_options){ .meant = meant_address });
	seen.act = answer_hi;
}

START_TEST(a_connection_by_address_is_whose_its_first_bytes_say)
{
	static const struct { const char *say, *want; } cases[] = {
		{ "GET /x HTTP/1.1\r\nHost: api.openai.com\r\n\r\n", "GET http://api.openai.com/x 0;delivered;" },
		{ "GET /x HTTP/1.1\r\nA: b\r\nhOsT:\tAPI.openai.com:80 \r\n\r\n", "GET http://API.openai.com/x 0;delivered;" },
		{ "GET /x HTTP/1.1\r\nHost: other.example\r\n\r\n", "tunnel 192.0.2.1:80;" },
		{ "GET /x HTTP/1.1\r\n\r\n", "tunnel 192.0.2.1:80;" },
		{ "SSH-2.0-x\r\n", "tunnel 192.0.2.1:80;" },
		{ "GET /x HTTP/1.1\r\nHost: [::1]\r\n\r\n", "tunnel 192.0.2.1:80;" },
	};
	start_by_address("192.0.2.1:80");
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		for (int piecewise = 0; piecewise < 2; piecewise++) {
			int fd = dial();
			vcr_buf_reset(&seen.log);
			for (const char *p = cases[i].say; *p && !*seen.log.data; p++)
				if (piecewise) {
					ck_assert_int_ge(send(fd, p, 1, MSG_NOSIGNAL), 0);
					event_base_loop(base, EVLOOP_NONBLOCK);
				} else {
					say(fd, cases[i].say);
					break;
				}
			until(cases[i].want);
			hear(fd); /* closing with it unread would be told too */
			close(fd);
		}
	stop();
}
END_TEST

START_TEST(the_server_name_of_a_hello_decides_and_a_client_that_is_silent_is_let_through)
{
	char text[8192];
	start_by_address("[2001:db8::1]:443");
	size_t n = hello("api.openai.com", text, sizeof text);
	int fd = dial();
	for (size_t i = 0; i < n; i++) { /* its first byte does not say it, nor the others before the last */
		ck_assert_int_eq(send(fd, text + i, 1, MSG_NOSIGNAL), 1);
		event_base_loop(base, EVLOOP_NONBLOCK);
	}
	ck_assert_int_eq(*hear(fd), 0x16);
	close(fd);
	static const char *const others[] = { "other.example", NULL };
	for (int i = 0; i < 2; i++) {
		n = hello(others[i], text, sizeof text);
		vcr_buf_reset(&seen.log);
		fd = dial();
		ck_assert_int_eq(send(fd, text, n, MSG_NOSIGNAL), (ssize_t)n);
		until("tunnel 2001:db8::1:443;");
		ck_assert_str_eq(hear(fd), "reset");
		close(fd);
	}
	stop();
	start_by_address("192.0.2.1:25");
	fd = dial();
	until("tunnel 192.0.2.1:25;");
	close(fd);
	stop();
}
END_TEST

START_TEST(where_the_client_has_the_first_word_it_may_take_its_time)
{
	static const char *const ports[] = { "192.0.2.1:443", "192.0.2.1:5443" };
	char text[8192];
	for (int i = 0; i < 2; i++) {
		start_by_address(ports[i]);
		size_t n = hello("api.openai.com", text, sizeof text);
		int fd = dial();
		for (int64_t until = now_ms() + 800; now_ms() < until; poll(NULL, 0, 1)) /* longer than a client that may wait for the server's first word */
			event_base_loop(base, EVLOOP_NONBLOCK);
		ck_assert_str_eq(seen.log.data, "");
		ck_assert_int_eq(send(fd, text, n, MSG_NOSIGNAL), (ssize_t)n);
		ck_assert_int_eq(*hear(fd), 0x16);
		close(fd);
		stop();
	}
}
END_TEST

START_TEST(who_refuses_the_certificate_is_let_through_the_next_time)
{
	char text[8192];
	whose = 77;
	start_by_address("192.0.2.1:443");
	size_t n = hello("api.openai.com", text, sizeof text);
	int fd = dial();
	ck_assert_int_eq(send(fd, text, n, MSG_NOSIGNAL), (ssize_t)n);
	ck_assert_int_eq(*hear(fd), 0x16);
	static const char alert[] = { 0x15, 3, 3, 0, 2, 2, 48 }; /* unknown_ca (RFC 8446 6.2) */
	ck_assert_int_eq(send(fd, alert, sizeof alert, MSG_NOSIGNAL), (ssize_t)sizeof alert);
	while (*hear(fd))
		;
	close(fd);
	ck_assert_str_eq(seen.log.data, "");
	fd = dial();
	ck_assert_int_eq(send(fd, text, n, MSG_NOSIGNAL), (ssize_t)n);
	until("tunnel 192.0.2.1:443;");
	close(fd);
	whose = 78;
	fd = dial();
	ck_assert_int_eq(send(fd, text, n, MSG_NOSIGNAL), (ssize_t)n);
	ck_assert_int_eq(*hear(fd), 0x16);
	close(fd);
	stop();
}
END_TEST

START_TEST(a_hello_may_be_anything)
{
	char text[8192], bent[8192];
	unsigned seed = 1;
	start_by_address("192.0.2.1:443");
	size_t n = hello("api.openai.com", text, sizeof text);
	for (int i = 0; i < 400; i++) {
		size_t cut = i % 2 ? n : (size_t)rand_r(&seed) % n + 1;
		memcpy(bent, text, n);
		for (int k = 0; k < 1 + i % 4; k++)
			bent[1 + (size_t)rand_r(&seed) % (n - 1)] = (char)rand_r(&seed);
		int fd = dial();
		ck_assert_int_eq(send(fd, bent, cut, MSG_NOSIGNAL), (ssize_t)cut);
		event_base_loop(base, EVLOOP_NONBLOCK);
		close(fd);
		event_base_loop(base, EVLOOP_NONBLOCK);
	}
	int fd = dial();
	ck_assert_int_eq(send(fd, text, n, MSG_NOSIGNAL), (ssize_t)n);
	ck_assert_int_eq(*hear(fd), 0x16);
	close(fd);
	stop();
}
END_TEST

START_TEST(the_user_of_a_proxy_may_say_which_process_it_is)
{
	static const struct { const char *user; int pid; } cases[] = { { "vcr-4711", 4711 }, { "vcr", 0 }, { "vcr-", 0 }, { "vcr-1x", 0 }, { "vcr-9999999999", 0 }, { "x-4711", 0 } };
	start((struct vcr_gate_options){ 0 });
	seen.act = answer_hi;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		VCR_AUTO_BUF plain = VCR_BUF_INIT, head = VCR_BUF_INIT;
		vcr_buf_printf(&plain, "%s:0123456789abcdef0123456789abcdef", cases[i].user);
		vcr_buf_puts(&head, "GET http://a.example/x HTTP/1.1\r\nProxy-Authorization: Basic ");
		vcr_buf_base64(&head, plain.data, plain.len);
		vcr_buf_puts(&head, "\r\n\r\n");
		int fd = dial();
		vcr_buf_reset(&seen.log);
		say(fd, head.data);
		until("delivered;");
		ck_assert_int_eq(seen.pid, cases[i].pid);
		hear(fd);
		close(fd);
	}
	stop();
}
END_TEST

START_TEST(what_is_flushed_is_there_before_the_answer_ends)
{
	start((struct vcr_gate_options){ 0 });
	seen.act = begin_answer;
	int fd = dial();
	say(fd, POST("h"));
	ck_assert_str_eq(hear(fd), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
	ck_assert_int_eq(vcr_gate_body(seen.x, "two", 3), 0);
	ck_assert_int_eq(vcr_gate_end(seen.x), 0);
	ck_assert_str_eq(hear(fd), "3\r\ntwo\r\n0\r\n\r\n");
	ck_assert_int_eq(vcr_gate_end(seen.x), VCR_EINVAL);
	close(fd);
	stop();
}
END_TEST

START_TEST(a_client_that_leaves_in_the_middle_is_told_once_and_nothing_more_can_be_written)
{
	start((struct vcr_gate_options){ 0 });
	seen.act = begin_answer;
	int fd = dial();
	say(fd, POST("h"));
	hear(fd);
	close(fd);
	for (int i = 0; i < 20000 && !strstr(seen.log.data, "gone"); i++) {
		event_base_loop(base, EVLOOP_NONBLOCK);
		poll(NULL, 0, 1);
	}
	ck_assert_str_eq(seen.log.data, "POST https://h/v1/x?y 3 base;gone;");
	ck_assert_uint_eq(stats().conns, 0);
	stop();
}
END_TEST

static void begin_and_cut(struct vcr_gate_exchange *x)
{
	begin_answer(x);
	vcr_gate_cut(x, VCR_CUT_RESET);
}

START_TEST(a_cut_delivers_what_was_written_first)
{
	start((struct vcr_gate_options){ 0 });
	seen.act = begin_and_cut;
	int fd = dial();
	say(fd, POST("h"));
	until("delivered");
	ck_assert_ptr_nonnull(strstr(hear(fd), "3\r\none\r\n"));
	ck_assert_str_eq(hear(fd), "reset");
	close(fd);
	stop();
}
END_TEST

START_TEST(a_reset_tells_that_an_answer_was_not_read)
{
	start((struct vcr_gate_options){ 0 });
	seen.act = answer_hi;
	int fd = dial();
	say(fd, POST("h"));
	until("delivered;");
	close(fd); /* "hi" lies unread in the kernel: closing resets */
	until("unread;");
	stop();
}
END_TEST

static void much(struct vcr_gate_exchange *x)
{
	static char piece[100000];
	vcr_gate_head(x, 200, NULL, NULL, 0, -1);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(vcr_gate_body(x, piece, sizeof piece), 0);
	vcr_gate_flush(x);
}

START_TEST(a_slow_reader_is_seen_in_the_backlog_and_its_end_is_told)
{
	start((struct vcr_gate_options){ 0 });
	seen.act = much;
	int fd = dial();
	say(fd, POST("h"));
	until("base;");
	ck_assert_uint_gt(vcr_gate_backlog(seen.x), 1000000);
	for (int i = 0; i < 20000 && !seen.drained; i++)
		hear(fd);
	ck_assert_int_eq(seen.drained, 1);
	close(fd);
	stop();
}
END_TEST

START_TEST(a_head_that_trickles_is_given_up_at_its_deadline)
{
	start((struct vcr_gate_options){ .head_ms = 50 });
	int fd = dial();
	say(fd, "POST /x HTTP/1.1\r\nX: ");
	const char *heard = "nothing";
	for (int i = 0; i < 2000 && strcmp(heard, ""); i++) {
		send(fd, "a", 1, MSG_NOSIGNAL);
		char c;
		ssize_t n = recv(fd, &c, 1, MSG_DONTWAIT);
		heard = n == 0 || (n < 0 && errno == ECONNRESET) ? "" : "nothing";
		event_base_loop(base, EVLOOP_NONBLOCK);
		poll(NULL, 0, 2);
	}
	ck_assert_str_eq(heard, "");
	ck_assert_uint_eq(stats().timed_out, 1);
	close(fd);
	stop();
}
END_TEST

START_TEST(the_connection_that_is_idle_longest_gives_way_not_one_that_is_answered)
{
	start((struct vcr_gate_options){ .max_conns = 3 });
	int busy = dial(), fd[3];
	say(busy, POST("h"));
	until("base;");
	for (int i = 0; i < 3; i++) {
		fd[i] = dial();
		say(fd[i], "P");
		for (int k = 0; k < 5; k++)
			event_base_loop(base, EVLOOP_NONBLOCK);
	}
	const char *end = hear(fd[0]); /* a reset where "P" had not been read */
	ck_assert(!*end || !strcmp(end, "reset"));
	ck_assert_uint_eq(stats().evicted, 1);
	ck_assert_uint_eq(stats().conns, 3);
	ck_assert_int_eq(vcr_gate_simple(seen.x, 200, NULL, "hi", 2, NULL), 0);
	ck_assert_ptr_nonnull(strstr(hear(busy), "hi"));
	for (int i = 0; i < 3; i++)
		close(fd[i]);
	close(busy);
	stop();
}
END_TEST

START_TEST(beyond_its_memory_it_takes_no_more)
{
	static char part[65536];
	start((struct vcr_gate_options){ .max_held = 1 << 20 });
	int fd = dial();
	say(fd, "POST " BASE "h/x HTTP/1.1\r\nContent-Length: 100000000\r\n\r\n");
	memset(part, 'a', sizeof part);
	for (int i = 0; i < 200 && !stats().malformed; i++) {
		send(fd, part, sizeof part, MSG_NOSIGNAL | MSG_DONTWAIT);
		event_base_loop(base, EVLOOP_NONBLOCK);
	}
	ck_assert_uint_eq(stats().malformed, 1);
	ck_assert_ptr_nonnull(strstr(hear(fd), "HTTP/1.1 503 "));
	close(fd);
	stop();
}
END_TEST

static void hostile_head(struct vcr_gate_exchange *x)
{
	static const struct vcr_http1_field f[] = { { "A", "1\r\nB: 2" }, { "C\n", "3" }, { "Transfer-Encoding", "gzip" }, { "D: e", "4" }, { "", "5" }, { "OK", "6" }, { "Connection", "upgrade" } };
	ck_assert_int_eq(vcr_gate_head(x, 200, "O\r\nK", f, sizeof f / sizeof *f, 2), 0);
	ck_assert_int_eq(vcr_gate_body(x, "abc", 3), VCR_EINVAL);
	ck_assert_int_eq(vcr_gate_body(x, "ab", 2), 0);
	ck_assert_int_eq(vcr_gate_end(x), 0);
}

START_TEST(fields_of_a_hostile_recording_cannot_make_others)
{
	start((struct vcr_gate_options){ 0 });
	seen.act = hostile_head;
	int fd = dial();
	say(fd, POST("h"));
	ck_assert_str_eq(hear(fd), "HTTP/1.1 200 \r\nOK: 6\r\nContent-Length: 2\r\n\r\nab");
	close(fd);
	stop();
}
END_TEST

START_TEST(a_short_token_is_refused)
{
	struct vcr_error e = { 0 };
	struct vcr_gate *g;
	struct vcr_gate_options o = { .token = "short" };
	ck_assert_int_eq(vcr_gate_new(&g, &o, &e), VCR_EINVAL);
}
END_TEST

static TCase *gate_case(void)
{
	TCase *tc = tcase_create("gate");
	tcase_add_test(tc, a_request_says_which_host_it_is_for);
	tcase_add_test(tc, where_a_connection_was_meant_to_go_is_asked_once_and_stands_for_the_token);
	tcase_add_test(tc, of_a_connection_that_says_nothing_it_may_be_told_later_where_it_was_meant_to_go);
	tcase_add_test(tc, the_user_of_a_proxy_may_say_which_process_it_is);
	tcase_add_test(tc, a_connection_by_address_is_whose_its_first_bytes_say);
	tcase_add_test(tc, the_server_name_of_a_hello_decides_and_a_client_that_is_silent_is_let_through);
	tcase_add_test(tc, where_the_client_has_the_first_word_it_may_take_its_time);
	tcase_add_test(tc, who_refuses_the_certificate_is_let_through_the_next_time);
	tcase_add_test(tc, a_hello_may_be_anything);
	tcase_add_test(tc, what_is_flushed_is_there_before_the_answer_ends);
	tcase_add_test(tc, a_client_that_leaves_in_the_middle_is_told_once_and_nothing_more_can_be_written);
	tcase_add_test(tc, a_cut_delivers_what_was_written_first);
	tcase_add_test(tc, a_reset_tells_that_an_answer_was_not_read);
	tcase_add_test(tc, a_slow_reader_is_seen_in_the_backlog_and_its_end_is_told);
	tcase_add_test(tc, a_head_that_trickles_is_given_up_at_its_deadline);
	tcase_add_test(tc, the_connection_that_is_idle_longest_gives_way_not_one_that_is_answered);
	tcase_add_test(tc, beyond_its_memory_it_takes_no_more);
	tcase_add_test(tc, fields_of_a_hostile_recording_cannot_make_others);
	tcase_add_test(tc, a_short_token_is_refused);
	return tc;
}

TAP_MAIN("gate", gate_case)
