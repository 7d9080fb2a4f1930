#include "flow.h"
#include "h2bytes.h"
#include "tap.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

/* What flow said, one line per event; calls as "call CONN API STATUS complete|FAILURE [CODE] [goaway CODE]" and kept for a closer look. */
struct said {
	struct vcr_buf log;
	struct vcr_buf req_body, res_body, message, aside, turns;
	struct vcr_call last;
	struct vcr_chunk chunk[64];
	char host[300], model[100];
	int calls, requests;
};

static int on_request(void *ctx, const struct vcr_call *c, uint64_t time_ns)
{
	ck_assert(c->conn && c->method && c->target && c->host && c->req_field && time_ns);
	((struct said *)ctx)->requests++;
	return 0;
}

static int on_call(void *ctx, const struct vcr_call *c)
{
	struct said *s = ctx;
	vcr_buf_printf(&s->log, "call %u %s %d %s%s", c->conn, vcr_api_name(c->api), c->status, c->complete ? "complete" : "",
		c->failure ? c->failure : "");
	vcr_buf_printf(&s->log, c->reset_code ? " %u" : "", c->reset_code);
	vcr_buf_printf(&s->log, c->goaway ? " goaway %u\n" : "\n", c->goaway_code);
	s->last = *c;
	s->calls++;
	snprintf(s->host, sizeof s->host, "%s", c->host);
	snprintf(s->model, sizeof s->model, "%s", c->answer && c->answer->model ? c->answer->model : "");
	if (c->nchunk)
		memcpy(s->chunk, c->chunk, (c->nchunk < 64 ? c->nchunk : 64) * sizeof *c->chunk);
	vcr_buf_reset(&s->req_body);
	vcr_buf_reset(&s->aside);
	vcr_buf_reset(&s->turns);
	vcr_buf_reset(&s->res_body);
	vcr_buf_reset(&s->message);
	vcr_buf_add(&s->req_body, c->req_body, c->nreq_body);
	vcr_buf_add(&s->aside, c->aside, c->naside);
	vcr_buf_add(&s->turns, c->turns, c->nturns);
	vcr_buf_add(&s->res_body, c->res_body, c->nres_body);
	if (c->answer)
		vcr_buf_add(&s->message, c->answer->message.data, c->answer->message.len);
	return 0;
}

static void on_mute(void *ctx, uint32_t conn)
{
	vcr_buf_printf(&((struct said *)ctx)->log, "mute %u\n", conn);
}

static void on_unseen(void *ctx, uint32_t conn, const char *why)
{
	vcr_buf_printf(&((struct said *)ctx)->log, "unseen %u %s\n", conn, why);
}

static struct said said;
static struct vcr_flow *flow;
static uint64_t now;

static void start(bool capture_all)
{
	static const struct vcr_flow_events ev = { on_request, on_call, on_mute, on_unseen };
	said = (struct said){ .log = VCR_BUF_INIT, .req_body = VCR_BUF_INIT, .res_body = VCR_BUF_INIT, .message = VCR_BUF_INIT, .aside = VCR_BUF_INIT, .turns = VCR_BUF_INIT };
	now = 0;
	flow = vcr_flow_new(&ev, &said, NULL, capture_all);
	ck_assert_ptr_nonnull(flow);
}

static void finish(void)
{
	vcr_flow_free(flow);
	vcr_buf_release(&said.log);
	vcr_buf_release(&said.req_body);
	vcr_buf_release(&said.aside);
	vcr_buf_release(&said.turns);
	vcr_buf_release(&said.res_body);
	vcr_buf_release(&said.message);
}

static void open_conn(uint32_t conn)
{
	vcr_flow_open(flow, conn, 10, true, "api.openai.com", "192.0.2.1:443", ++now);
}

static void out(uint32_t conn, const char *s)
{
	vcr_flow_out(flow, conn, 10, 11, s, strlen(s), ++now);
}

static void in(uint32_t conn, const char *s)
{
	vcr_flow_in(flow, conn, s, strlen(s), ++now);
}

#define POST "POST /v1/chat/completions HTTP/1.1\r\nHost: api.openai.com\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n"
#define OK "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"model\":\"m\"}"
#define SSE_HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

static void expect_log(const char *want)
{
	ck_assert_str_eq(said.log.data, want);
}

START_TEST(a_call_has_its_request_answer_host_and_times)
{
	start(false);
	open_conn(1);
	out(1, "POST /v1/chat/completions HTTP/1.1\r\nHost: api.openai.com\r\nContent-Le");
	out(1, "ngth: 2\r\n\r\n");
	ck_assert_int_eq(said.requests, 1);
	out(1, "{}");
	in(1, "HTTP/1.1 200 OK\r\nContent-Length: 13\r\nX-Request-Id: r\r\n\r\n{\"mod");
	in(1, "el\":");
	in(1, "\"m\"}");
	expect_log("call 1 openai.chat 200 complete\n");
	ck_assert_str_eq(said.req_body.data, "{}");
	ck_assert_str_eq(said.res_body.data, "{\"model\":\"m\"}");
	ck_assert_str_eq(said.host, "api.openai.com");
	ck_assert_str_eq(said.model, "m");
	ck_assert_uint_eq(said.last.start_ns, 2);
	ck_assert_uint_eq(said.last.sent_ns, 4);
	ck_assert_uint_eq(said.last.first_byte_ns, 5);
	ck_assert_uint_eq(said.last.end_ns, 7);
	ck_assert_int_eq(said.last.pid, 10);
	ck_assert_int_eq(said.last.tid, 11);
	ck_assert_uint_eq(said.last.nchunk, 3);
	ck_assert_uint_eq(said.chunk[1].offset, 5);
	ck_assert_uint_eq(said.chunk[2].offset, 9);
	ck_assert_uint_eq(said.chunk[2].time_ns, 7);
	vcr_flow_close(flow, 1, 0, ++now);
	expect_log("call 1 openai.chat 200 complete\n");
	finish();
}
END_TEST

START_TEST(keep_alive_pipelining_head_and_1xx_keep_requests_and_answers_together)
{
	start(false);
	open_conn(1);
	out(1, POST "{}HEAD / HTTP/1.1\r\nHost: api.openai.com\r\n\r\n" POST);
	out(1, "[]");
	in(1, "HTTP/1.1 100 Continue\r\n\r\n");
	in(1, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" OK "HTTP/1.1 204 No Content\r\nContent-Length: 500\r\n\r\n");
	in(1, OK);
	expect_log("call 1 openai.chat 200 complete\ncall 1 side 204 complete\ncall 1 openai.chat 200 complete\n");
	ck_assert_str_eq(said.req_body.data, "[]");
	out(1, POST "{}");
	in(1, "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 28\r\n\r\n{\"error\":{\"type\":\"tokens\"}}\n");
	ck_assert_int_eq(said.calls, 4);
	ck_assert_int_eq(said.last.status, 429);
	finish();
}
END_TEST

/* The stream of tests/data that all decoders have to go through: chunked, gzip; fed in steps. */
static void gzip_stream(size_t step)
{
	static const char events[] =
		"data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"Hel\"}}]}\n\n"
		"data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"lo\"},\"finish_reason\":\"stop\"}]}\n\n"
		"data: [DONE]\n\n";
	char packed[1000], size[20];
	z_stream z = { .next_in = (Bytef *)events, .avail_in = sizeof events - 1, .next_out = (Bytef *)packed, .avail_out = sizeof packed };
	VCR_AUTO_BUF wire = VCR_BUF_INIT;
	ck_assert_int_eq(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, 0), Z_OK);
	ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
	vcr_buf_puts(&wire, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n");
	snprintf(size, sizeof size, "%lx\r\n", z.total_out / 2);
	vcr_buf_puts(&wire, size);
	vcr_buf_add(&wire, packed, z.total_out / 2);
	snprintf(size, sizeof size, "\r\n%lx\r\n", z.total_out - z.total_out / 2);
	vcr_buf_puts(&wire, size);
	vcr_buf_add(&wire, packed + z.total_out / 2, z.total_out - z.total_out / 2);
	vcr_buf_puts(&wire, "\r\n0\r\n\r\n");
	deflateEnd(&z);
	start(false);
	open_conn(1);
	static const char request[] = POST "{}";
	for (size_t i = 0; i < sizeof request - 1; i += step)
		vcr_flow_out(flow, 1, 10, 11, request + i, sizeof request - 1 - i < step ? sizeof request - 1 - i : step, ++now);
	for (size_t i = 0; i < wire.len; i += step)
		vcr_flow_in(flow, 1, wire.data + i, wire.len - i < step ? wire.len - i : step, ++now);
	expect_log("call 1 openai.chat 200 complete\n");
	ck_assert_str_eq(said.res_body.data, events);
	ck_assert_str_eq(said.last.res_coding ? "gzip" : "", "gzip");
	ck_assert_ptr_nonnull(strstr(said.message.data, "\"content\":\"Hello\""));
	finish();
}

START_TEST(a_compressed_stream_is_decoded_in_any_split)
{
	gzip_stream(1);
	gzip_stream(7);
	gzip_stream(1 << 20);
}
END_TEST

#define EVENT(text) "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" text "\"}}]}\n\n"

START_TEST(a_cut_answer_is_reported_once_with_what_had_arrived)
{
	static const struct { int reason; const char *word; } ends[] = { { 0, "aborted" }, { 1, "closed" }, { ECONNRESET, "reset" }, { ETIMEDOUT, "timeout" }, { EPROTO, "cut" } };
	for (size_t i = 0; i < 5; i++) {
		char want[100];
		start(false);
		open_conn(1);
		out(1, POST "{}");
		in(1, SSE_HEAD "3c\r\n" EVENT("Half") "\r\n39\r\ndata: {\"cho");
		vcr_flow_close(flow, 1, ends[i].reason, ++now);
		vcr_flow_close(flow, 1, 0, ++now);
		snprintf(want, sizeof want, "call 1 openai.chat 200 %s\n", ends[i].word);
		expect_log(want);
		ck_assert_ptr_nonnull(strstr(said.message.data, "Half"));
		finish();
	}
	start(false);
	open_conn(1);
	open_conn(2);
	out(1, POST "{}");
	out(2, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{\"a\"");
	vcr_flow_process_gone(flow, 99, ++now);
	ck_assert_int_eq(said.calls, 0);
	vcr_flow_process_gone(flow, 10, ++now);
	vcr_flow_all_gone(flow, ++now);
	ck_assert_int_eq(said.calls, 2);
	ck_assert_ptr_nonnull(strstr(said.log.data, "call 1 openai.chat 0 interrupted\n"));
	ck_assert_ptr_nonnull(strstr(said.log.data, "call 2 openai.chat 0 interrupted\n"));
	ck_assert_ptr_null(said.last.answer);
	finish();
}
END_TEST

START_TEST(an_answer_that_lasts_until_the_end_of_the_connection_is_complete_at_eof)
{
	start(false);
	open_conn(1);
	out(1, POST "{}");
	in(1, "HTTP/1.0 200 OK\r\n\r\n{\"model\":");
	in(1, "\"m\"}");
	ck_assert_int_eq(said.calls, 0);
	vcr_flow_close(flow, 1, 1, ++now);
	expect_log("call 1 openai.chat 200 complete\n");
	finish();
}
END_TEST

START_TEST(a_client_that_turns_away_at_the_end_of_the_stream_has_missed_nothing)
{
	start(false);
	open_conn(1);
	out(1, POST "{}");
	in(1, SSE_HEAD "3d\r\n" EVENT("Whole") "\r\ne\r\ndata: [DONE]\n\n\r\n");
	vcr_flow_close(flow, 1, 0, 1000);
	expect_log("call 1 openai.chat 200 complete\n");
	ck_assert_uint_eq(said.last.end_ns, 3);
	finish();
}
END_TEST

/* Both sides of an HTTP/2 connection, written frame by frame. */
static struct vcr_buf frames;
static nghttp2_hd_deflater *client, *server;

static void start_http2(void)
{
	start(false);
	open_conn(1);
	frames = (struct vcr_buf)VCR_BUF_INIT;
	nghttp2_hd_deflate_new(&client, 4096);
	nghttp2_hd_deflate_new(&server, 4096);
}

static void finish_http2(void)
{
	finish();
	nghttp2_hd_deflate_del(client);
	nghttp2_hd_deflate_del(server);
	vcr_buf_release(&frames);
}

static void send_frames(void)
{
	vcr_flow_out(flow, 1, 10, 11, frames.data, frames.len, ++now);
	vcr_buf_reset(&frames);
}

static void receive_frames(size_t step)
{
	for (size_t at = 0; at < frames.len; at += step)
		vcr_flow_in(flow, 1, frames.data + at, frames.len - at < step ? frames.len - at : step, ++now);
	vcr_buf_reset(&frames);
}

static void begin_http2(void)
{
	vcr_buf_puts(&frames, H2_PREFACE);
	h2_frame(&frames, H2_SETTINGS, 0, 0, "", 0);
	send_frames();
	h2_frame(&frames, H2_SETTINGS, 0, 0, "", 0);
	receive_frames(1000);
}

static void ask_http2(uint32_t stream, const char *body)
{
	h2_headers(&frames, client, 0, stream, ":method=POST\n:scheme=https\n:path=/v1/chat/completions\n:authority=api.openai.com\ncontent-type=application/json");
	h2_data(&frames, H2_END_STREAM, stream, body);
	send_frames();
}

START_TEST(streams_of_http2_are_calls_of_their_own_however_they_interleave)
{
	for (size_t step = 1; step < 2000; step += 1500) {
		start_http2();
		begin_http2();
		ask_http2(1, "{\"q\":1}");
		ask_http2(3, "{\"q\":3}");
		ck_assert_int_eq(said.requests, 2);
		h2_headers(&frames, server, 0, 3, ":status=200\ncontent-type=application/json");
		h2_headers(&frames, server, 0, 1, ":status=103\nlink=x");
		h2_headers(&frames, server, 0, 1, ":status=429\ncontent-type=application/json");
		h2_data(&frames, 0, 3, "{\"model\"");
		h2_data(&frames, H2_END_STREAM, 1, "{\"error\":{\"type\":\"slow\"}}");
		receive_frames(step);
		expect_log("call 1 openai.chat 429 complete\n");
		ck_assert_str_eq(said.req_body.data, "{\"q\":1}");
		h2_data(&frames, 0, 3, ":\"m\"}");
		h2_headers(&frames, server, H2_END_STREAM, 3, "x-trailer=1");
		receive_frames(step);
		expect_log("call 1 openai.chat 429 complete\ncall 1 openai.chat 200 complete\n");
		ck_assert_str_eq(said.req_body.data, "{\"q\":3}");
		ck_assert_str_eq(said.res_body.data, "{\"model\":\"m\"}");
		ck_assert_str_eq(said.host, "api.openai.com");
		ck_assert_str_eq(said.model, "m");
		ck_assert(said.last.http2);
		ck_assert_uint_eq(said.last.nchunk, step == 1 ? 13 : 2);
		finish_http2();
	}
}
END_TEST

START_TEST(ends_of_http2_streams_say_who_ended_them)
{
	start_http2();
	begin_http2();
	for (uint32_t stream = 1; stream < 11; stream += 2)
		ask_http2(stream, "{}");
	h2_frame(&frames, H2_RST, 0, 1, "\0\0\0\10", 4);
	send_frames();
	h2_frame(&frames, H2_RST, 0, 3, "\0\0\0\2", 4);
	h2_frame(&frames, H2_GOAWAY, 0, 0, "\0\0\0\7\0\0\0\13", 8);
	receive_frames(1000);
	expect_log("call 1 openai.chat 0 aborted\ncall 1 openai.chat 0 reset 2\ncall 1 openai.chat 0 reset 7 goaway 11\n"); /* 9 was not looked at: REFUSED_STREAM */
	h2_headers(&frames, client, 0, 11, ":method=POST\n:path=/v1/messages\n:authority=a");
	send_frames();
	h2_headers(&frames, server, 0, 11, ":status=413");
	h2_data(&frames, H2_END_STREAM, 11, "{}");
	h2_frame(&frames, H2_RST, 0, 11, "\0\0\0\0", 4); /* the rest of the request is not wanted */
	receive_frames(1000);
	ck_assert_int_eq(said.calls, 4);
	ck_assert(said.last.complete && said.last.status == 413);
	vcr_flow_close(flow, 1, 1, ++now);
	ck_assert_int_eq(said.calls, 6);
	ck_assert_str_eq(said.last.failure, "closed");
	finish_http2();
}
END_TEST

/* Their records may come after that of the read: another thread's. */
START_TEST(a_stream_that_crosses_the_servers_goaway_is_refused_too_and_one_that_it_looked_at_is_not)
{
	start_http2();
	begin_http2();
	ask_http2(1, "{}");
	h2_frame(&frames, H2_GOAWAY, 0, 0, "\177\377\377\377\0\0\0\0", 8); /* it will go, and refuses nothing yet */
	receive_frames(1000);
	ask_http2(3, "{}");
	h2_frame(&frames, H2_GOAWAY, 0, 0, "\0\0\0\3\0\0\0\13", 8);
	receive_frames(1000);
	ck_assert_int_eq(said.calls, 0);
	ask_http2(5, "{\"late\":1}");
	expect_log("call 1 openai.chat 0 reset 7 goaway 11\n");
	ck_assert_str_eq(said.req_body.data, "{\"late\":1}");
	h2_headers(&frames, client, 0, 7, ":method=POST\n:path=/v1/messages\n:authority=a");
	send_frames();
	h2_headers(&frames, server, H2_END_STREAM, 3, ":status=500");
	receive_frames(1000);
	ck_assert(said.last.complete && said.last.status == 500);
	vcr_flow_close(flow, 1, 0, ++now); /* by the program, upon it */
	expect_log("call 1 openai.chat 0 reset 7 goaway 11\ncall 1 openai.chat 500 complete\ncall 1 anthropic.messages 0 reset 7 goaway 11\ncall 1 openai.chat 0 aborted\n");
	finish_http2();
}
END_TEST

START_TEST(compressed_messages_of_grpc_are_reported_as_what_they_say)
{
	static const char packed[] = "\001\000\000\000\041\037\213\010\000\000\000\000\000\002\003\053\317\110\054\121\050\117\054\126\050\116\314\114\001\000\150\234\370\003\015\000\000\000";
	start_http2();
	begin_http2();
	h2_headers(&frames, client, 0, 1, ":method=POST\n:path=/a.B/GenerateContent\n:authority=api.openai.com\ncontent-type=application/grpc\ngrpc-encoding=gzip");
	h2_frame(&frames, H2_DATA, H2_END_STREAM, 1, packed, sizeof packed - 1);
	send_frames();
	h2_headers(&frames, server, 0, 1, ":status=200\ncontent-type=application/grpc\ngrpc-encoding=gzip");
	h2_frame(&frames, H2_DATA, 0, 1, packed, sizeof packed - 1);
	h2_headers(&frames, server, H2_END_STREAM, 1, "grpc-status=0");
	receive_frames(10);
	expect_log("call 1 generic 200 complete\n");
	ck_assert_uint_eq(said.req_body.len, 18);
	ck_assert_mem_eq(said.req_body.data, "\0\0\0\0\15what was said", 18);
	ck_assert_mem_eq(said.res_body.data, "\0\0\0\0\15what was said", 18);
	ck_assert_uint_eq(said.last.nchunk, 1);
	finish_http2();
}
END_TEST

START_TEST(an_upgrade_to_h2c_answers_the_request_that_asked_for_it_as_stream_1)
{
	start_http2();
	out(1, "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost:8000\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAAA\r\nContent-Length: 2\r\n\r\n{}");
	vcr_buf_puts(&frames, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
	h2_frame(&frames, H2_SETTINGS, 0, 0, "", 0);
	receive_frames(1000);
	vcr_buf_puts(&frames, H2_PREFACE);
	h2_frame(&frames, H2_SETTINGS, 0, 0, "", 0);
	send_frames();
	h2_headers(&frames, server, 0, 1, ":status=200\ncontent-type=application/json");
	h2_data(&frames, H2_END_STREAM, 1, "{\"model\":\"up\"}");
	receive_frames(1);
	expect_log("call 1 openai.chat 200 complete\n");
	ck_assert_str_eq(said.host, "localhost:8000");
	ck_assert_str_eq(said.model, "up");
	ask_http2(3, "{}");
	h2_headers(&frames, server, H2_END_STREAM, 3, ":status=500");
	receive_frames(1000);
	ck_assert_int_eq(said.last.status, 500);
	finish_http2();
}
END_TEST

START_TEST(damage_ends_what_can_be_read_of_an_http2_connection_and_is_said)
{
	start_http2();
	begin_http2();
	ask_http2(1, "{}");
	h2_frame(&frames, H2_CONTINUATION, 4, 1, "x", 1);
	receive_frames(1000);
	expect_log("call 1 openai.chat 0 malformed\nunseen 1 HTTP/2: CONTINUATION of nothing\nmute 1\n");
	ask_http2(3, "{}");
	ck_assert_int_eq(said.calls, 1);
	finish_http2();
	start_http2();
	h2_frame(&frames, H2_HEADERS, 5, 7, "\xbe\xbf", 2);
	send_frames();
	expect_log("unseen 1 HTTP/2 that had begun before it was seen\nmute 1\n");
	finish_http2();
}
END_TEST

START_TEST(an_http2_answer_whose_record_overtakes_its_request_is_kept)
{
	start_http2();
	begin_http2();
	h2_headers(&frames, server, 0, 1, ":status=200\ncontent-type=application/json");
	h2_data(&frames, H2_END_STREAM, 1, "{\"model\":\"m\"}");
	receive_frames(1000);
	expect_log("");
	ask_http2(1, "{}");
	expect_log("call 1 openai.chat 200 complete\n");
	finish_http2();
}
END_TEST

START_TEST(what_is_not_a_models_is_muted_and_a_gateway_is_not)
{
	VCR_AUTO_BUF big = VCR_BUF_INIT;
	start(false);
	for (int i = 0; i < 4; i++)
		out(1, "\x16\x03\x01 hello");
	expect_log("mute 1\n");
	vcr_buf_reset(&said.log);
	for (int i = 0; i < 20; i++) {
		out(2, "GET /simple/ HTTP/1.1\r\nHost: packages.example\r\n\r\n");
		in(2, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
	}
	expect_log("mute 2\n");
	vcr_buf_reset(&said.log);
	out(3, "GET /wheel HTTP/1.1\r\nHost: packages.example\r\n\r\n");
	in(3, "HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n");
	for (int i = 0; i < 20; i++) {
		vcr_buf_reset(&big);
		memset(vcr_buf_reserve(&big, 100000), 'x', 100000);
		vcr_buf_added(&big, 100000);
		vcr_flow_in(flow, 3, big.data, big.len, ++now);
	}
	expect_log("mute 3\n");
	vcr_buf_reset(&said.log);
	for (int i = 0; i < 10; i++) {
		out(4, "GET /health HTTP/1.1\r\nHost: gw.corp\r\n\r\n");
		in(4, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
	}
	out(4, "POST /llm/v1/messages HTTP/1.1\r\nHost: gw.corp\r\nContent-Length: 2\r\n\r\n{}");
	in(4, OK);
	expect_log("call 4 anthropic.messages 200 complete\n");
	finish();
}
END_TEST

START_TEST(everything_is_reported_when_everything_is_captured)
{
	start(true);
	for (int i = 0; i < 20; i++) {
		out(1, "GET /simple/ HTTP/1.1\r\nHost: packages.example\r\n\r\n");
		in(1, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
	}
	ck_assert_int_eq(said.calls, 20);
	ck_assert_int_eq(said.last.api, VCR_API_NONE);
	ck_assert_ptr_null(said.last.answer);
	finish();
}
END_TEST

START_TEST(a_connection_joined_in_the_middle_is_followed_from_its_next_request)
{
	start(false);
	out(1, "rest of a body that nobody saw begin\"}");
	in(1, "0\r\n\r\n");
	out(1, POST);
	out(1, "{}");
	in(1, OK);
	expect_log("call 1 openai.chat 200 complete\n");
	finish();
}
END_TEST

START_TEST(an_answer_recorded_before_its_request_is_still_its_answer)
{
	start(false);
	open_conn(1);
	now = 50;
	in(1, OK);
	now = 40;
	out(1, POST "{}");
	expect_log("call 1 openai.chat 200 complete\n");
	now = 60;
	in(1, "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"); /* nobody asked */
	now = 70;
	out(1, POST "{}");
	in(1, OK);
	expect_log("call 1 openai.chat 200 complete\ncall 1 openai.chat 200 complete\n");
	finish();
}
END_TEST

START_TEST(a_malformed_answer_is_said_and_the_next_call_is_seen)
{
	start(false);
	open_conn(1);
	out(1, POST "{}");
	in(1, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
	out(1, POST "{}");
	in(1, OK);
	expect_log("call 1 openai.chat 200 malformed\ncall 1 openai.chat 200 complete\n");
	finish();
}
END_TEST

START_TEST(a_broken_coding_keeps_what_it_gave)
{
	start(false);
	open_conn(1);
	out(1, POST "{}");
	in(1, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello");
	expect_log("call 1 openai.chat 200 malformed\n");
	out(1, POST "{}");
	in(1, "HTTP/1.1 200 OK\r\nContent-Encoding: x-own\r\nContent-Length: 5\r\n\r\nhello");
	ck_assert_str_eq(said.res_body.data, "hello");
	finish();
}
END_TEST

START_TEST(an_early_refusal_does_not_confuse_the_next_request)
{
	start(false);
	open_conn(1);
	out(1, "POST /v1/messages HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 9000\r\n\r\n");
	in(1, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}");
	ck_assert_int_eq(said.calls, 0);
	out(1, POST "{}");
	in(1, OK);
	expect_log("call 1 anthropic.messages 401 complete\ncall 1 openai.chat 200 complete\n");
	out(1, "POST /v1/messages HTTP/1.1\r\nHost: h\r\nContent-Length: 9000\r\n\r\nsome");
	in(1, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\n{}");
	out(1, "more");
	vcr_flow_close(flow, 1, 0, ++now);
	ck_assert_int_eq(said.last.status, 413);
	ck_assert(said.last.complete);
	finish();
}
END_TEST

START_TEST(a_tunnel_is_looked_into)
{
	start(false);
	vcr_flow_open(flow, 1, 10, false, NULL, "192.0.2.9:3128", 1);
	out(1, "CONNECT api.openai.com:443 HTTP/1.1\r\nHost: api.openai.com:443\r\n\r\n");
	in(1, "HTTP/1.1 200 Connection established\r\n\r\n");
	out(1, POST "{}");
	in(1, OK);
	expect_log("call 1 openai.chat 200 complete\n");
	finish();
}
END_TEST

/* A text frame, masked when it is the client's. */
static void frame(struct vcr_buf *b, bool mask, const char *s)
{
	size_t n = strlen(s);
	vcr_buf_putc(b, '\x81');
	vcr_buf_putc(b, (char)((mask ? 128 : 0) | (n < 126 ? n : 126)));
	if (n >= 126) {
		vcr_buf_putc(b, (char)(n >> 8));
		vcr_buf_putc(b, (char)n);
	}
	if (mask)
		vcr_buf_puts(b, "mask");
	for (size_t i = 0; i < n; i++)
		vcr_buf_putc(b, mask ? s[i] ^ "mask"[i & 3] : s[i]);
}

static void say(const char *s)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	frame(&b, true, s);
	vcr_flow_out(flow, 1, 10, 11, b.data, b.len, ++now);
}

static void hear(const char *s)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	frame(&b, false, s);
	vcr_flow_in(flow, 1, b.data, b.len, ++now);
}

static void start_websocket(const char *path, const char *first)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	start(false);
	open_conn(1);
	vcr_buf_printf(&b, "GET %s HTTP/1.1\r\nHost: api.openai.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", path);
	out(1, b.data);
	vcr_buf_reset(&b);
	vcr_buf_puts(&b, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
	frame(&b, false, first);
	vcr_flow_in(flow, 1, b.data, b.len, ++now);
	expect_log("call 1 side 101 complete\n");
}

#define CREATE "{\"type\":\"response.create\",\"model\":\"gpt-x\",\"input\":[]}"
#define DONE(id, how) "{\"type\":\"response." how "\",\"response\":{\"id\":\"" id "\",\"status\":\"completed\",\"model\":\"gpt-x\"," \
	"\"output\":[],\"usage\":{\"input_tokens\":3,\"output_tokens\":2}}}"
#define CREATED(id) "{\"type\":\"response.created\",\"response\":{\"id\":\"" id "\",\"status\":\"in_progress\"}}"

START_TEST(each_response_of_a_websocket_is_a_call_with_what_was_sent_since_the_one_before)
{
	start_websocket("/v1/responses", "{\"type\":\"hello\"}");
	say(CREATE);
	ck_assert_int_eq(said.requests, 1);
	hear(CREATED("r1"));
	hear("{\"type\":\"response.output_text.delta\",\n\"response_id\":\"r1\",\"delta\":\"x\"}");
	hear(DONE("r1", "completed"));
	expect_log("call 1 side 101 complete\ncall 1 openai.responses 101 complete\n");
	ck_assert_str_eq(said.req_body.data, CREATE);
	ck_assert_ptr_nonnull(strstr(said.res_body.data, CREATED("r1") "\n{\"type\":\"response.output_text.delta\", \"response_id\""));
	ck_assert_str_eq(said.model, "gpt-x");
	ck_assert(said.last.websocket && said.last.nchunk >= 3 && said.last.first_byte_ns > said.last.start_ns);
	finish();
	start_websocket("/v1/realtime?model=gpt-realtime", "{\"type\":\"session.created\"}");
	say("{\"type\":\"session.update\",\"session\":{}}");
	hear("{\"type\":\"session.updated\"}");
	say("{\"type\":\"conversation.item.create\",\"item\":{}}");
	say("{\"type\":\"response.create\"}");
	hear("{\"type\":\"rate_limits.updated\"}");
	hear(DONE("r1", "done"));
	ck_assert_str_eq(said.aside.data, "0,{\"type\":\"session.created\"},1,{\"type\":\"session.updated\"},3,{\"type\":\"rate_limits.updated\"}");
	say("{\"type\":\"response.create\"}");
	hear("{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"no\"}}");
	expect_log("call 1 side 101 complete\ncall 1 openai.realtime 101 complete\ncall 1 openai.realtime 101 complete\n");
	ck_assert_str_eq(said.req_body.data, "{\"type\":\"response.create\"}");
	ck_assert_ptr_nonnull(strstr(said.message.data, "invalid_request_error"));
	finish();
}
END_TEST

START_TEST(responses_of_a_websocket_that_overlap_are_told_apart_by_their_ids)
{
	start_websocket("/v1/realtime", "{}");
	say("{\"type\":\"session.update\"}");
	say("{\"type\":\"response.create\",\"n\":1}");
	say("{\"type\":\"response.create\",\"n\":2}");
	hear(CREATED("r1"));
	hear(CREATED("r2"));
	hear(DONE("r2", "done"));
	ck_assert_str_eq(said.req_body.data, "{\"type\":\"response.create\",\"n\":2}");
	ck_assert_str_eq(said.res_body.data, CREATED("r2") "\n" DONE("r2", "done") "\n");
	hear(DONE("r1", "done"));
	ck_assert_str_eq(said.req_body.data, "{\"events\":[{\"type\":\"session.update\"},{\"type\":\"response.create\",\"n\":1}]}");
	ck_assert_int_eq(said.calls, 3);
	finish();
}
END_TEST

START_TEST(a_response_that_the_server_began_by_itself_is_a_call_too)
{
	start_websocket("/v1/realtime", "{}");
	say("{\"type\":\"input_audio_buffer.append\",\"audio\":\"AAAA\"}");
	hear(CREATED("r1"));
	say("{\"type\":\"input_audio_buffer.append\",\"audio\":\"BBBB\"}");
	hear(DONE("r1", "done"));
	expect_log("call 1 side 101 complete\ncall 1 openai.realtime 101 complete\n");
	ck_assert_ptr_nonnull(strstr(said.req_body.data, "\"AAAA\""));
	finish();
}
END_TEST

START_TEST(a_websocket_that_ends_in_the_middle_says_how)
{
	start_websocket("/v1/responses", "{}");
	say(CREATE);
	hear(CREATED("r1"));
	vcr_flow_close(flow, 1, ECONNRESET, ++now);
	expect_log("call 1 side 101 complete\ncall 1 openai.responses 101 reset\n");
	finish();
	start_websocket("/v1/responses", "{}");
	say(CREATE);
	in(1, "\x83\x01x");
	expect_log("call 1 side 101 complete\ncall 1 openai.responses 101 malformed\nunseen 1 WebSocket: unknown opcode\nmute 1\n");
	finish();
}
END_TEST

START_TEST(of_another_api_a_turn_lasts_until_it_is_said_to_be_complete)
{
	start_websocket("/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent", "{}");
	say("{\"setup\":{}}");
	say("{\"clientContent\":{\"turnComplete\":true}}");
	hear("{\"setupComplete\":{}}");
	hear("{\"serverContent\":{\"turnComplete\":true}}");
	ck_assert_int_eq(said.calls, 2);
	ck_assert_str_eq(said.req_body.data, "{\"events\":[{\"setup\":{}},{\"clientContent\":{\"turnComplete\":true}}]}");
	ck_assert_str_eq(said.turns.data, "0,2");
	say("{\"clientContent\":{}}");
	hear("{\"serverContent\":{}}");
	vcr_flow_out(flow, 1, 10, 11, "\x88\x80mask", 6, ++now);
	expect_log("call 1 side 101 complete\ncall 1 generic 101 complete\ncall 1 generic 101 complete\n");
	ck_assert_str_eq(said.req_body.data, "{\"events\":[{\"clientContent\":{}}]}");
	finish();
}
END_TEST

START_TEST(a_websocket_that_is_no_models_or_cannot_be_read_is_let_go)
{
	start(false);
	vcr_flow_open(flow, 1, 10, false, NULL, "127.0.0.1:5173", ++now);
	out(1, "GET /hmr HTTP/1.1\r\nHost: localhost:5173\r\nUpgrade: websocket\r\n\r\n");
	in(1, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n");
	expect_log("mute 1\n");
	open_conn(2);
	out(2, "GET /v1/responses HTTP/1.1\r\nHost: api.openai.com\r\nUpgrade: websocket\r\n\r\n");
	in(2, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSec-WebSocket-Extensions: x-own\r\n\r\n");
	expect_log("mute 1\ncall 2 side 101 complete\nunseen 2 WebSocket with an extension that is not known\nmute 2\n");
	finish();
}
END_TEST

START_TEST(the_host_comes_from_the_field_the_target_or_the_connection)
{
	start(false);
	open_conn(1);
	out(1, "POST /v1/chat/completions HTTP/1.0\r\n\r\n");
	in(1, OK);
	ck_assert_str_eq(said.host, "api.openai.com");
	vcr_flow_open(flow, 2, 10, true, "gw", "192.0.2.1:8443", ++now);
	out(2, "POST /v1/chat/completions HTTP/1.0\r\n\r\n");
	in(2, OK);
	ck_assert_str_eq(said.host, "gw:8443");
	vcr_flow_open(flow, 3, 10, false, NULL, "[::1]:80", ++now);
	out(3, "POST /v1/chat/completions HTTP/1.0\r\n\r\n");
	in(3, OK);
	ck_assert_str_eq(said.host, "[::1]");
	out(4, "POST http://127.0.0.1:9/v1/chat/completions HTTP/1.1\r\nHost: proxy\r\n\r\n");
	in(4, OK);
	ck_assert_str_eq(said.host, "127.0.0.1:9");
	finish();
}
END_TEST

START_TEST(fifty_interleaved_streams_stay_apart)
{
	enum { N = 50, EVENTS = 20 };
	start(false);
	for (uint32_t c = 1; c <= N; c++)
		open_conn(c);
	for (uint32_t c = 1; c <= N; c++)
		out(c, POST);
	for (uint32_t c = N; c >= 1; c--)
		out(c, "{}");
	for (uint32_t c = 1; c <= N; c++)
		in(c, SSE_HEAD);
	for (int e = 0; e < EVENTS; e++)
		for (uint32_t i = 0; i < N; i++) {
			char text[300], event[200];
			uint32_t c = (i * 7 + (uint32_t)e) % N + 1;
			int n = snprintf(event, sizeof event, "data: {\"id\":\"c%u\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"%u.%d \"}}]}\n\n", c, c, e);
			snprintf(text, sizeof text, "%x\r\n%s\r\n", (unsigned)n, event);
			in(c, text);
		}
	for (uint32_t c = 1; c <= N; c++) {
		char want[40];
		in(c, "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n");
		ck_assert_int_eq(said.calls, (int)c);
		ck_assert_uint_eq(said.last.conn, c);
		ck_assert_uint_eq(said.last.nchunk, EVENTS + 1);
		for (int e = 0; e < EVENTS; e++) {
			snprintf(want, sizeof want, "%u.%d ", c, e);
			ck_assert_ptr_nonnull(strstr(said.message.data, want));
		}
	}
	finish();
}
END_TEST

START_TEST(noise_on_any_connection_breaks_nothing)
{
	static const char *const piece[] = { POST, "{}", OK, SSE_HEAD, "39\r\n" EVENT("x") "\r\n", "0\r\n\r\n", "PRI * HT", "HTTP/1.1 ", "\r\n\r\n",
		"CONNECT a:1 HTTP/1.1\r\n\r\n", "HTTP/1.1 101 S\r\n\r\n", "GET", " / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", "\0\1\2\3", "zz" };
	unsigned seed = 7;
	start(false);
	for (int i = 0; i < 200000; i++) {
		seed = seed * 1103515245 + 12345;
		unsigned r = seed >> 8;
		uint32_t conn = r % 13 + 1;
		const char *p = piece[(r >> 4) % 16];
		size_t n = strlen(p), cut = (r >> 8) % 4 ? n : n / 2;
		switch ((r >> 12) % 16) {
		case 0: vcr_flow_close(flow, conn, (int)((r >> 16) % 3), ++now); break;
		case 1: open_conn(conn); break;
		case 2: vcr_flow_process_gone(flow, (r >> 16) % 30 ? 99 : 10, ++now); break;
		default: (r >> 16) % 2 ? vcr_flow_out(flow, conn, 10, 10, p, cut, ++now) : vcr_flow_in(flow, conn, p, cut, ++now);
		}
	}
	ck_assert_int_gt(said.calls, 100);
	finish();
}
END_TEST

/* A connection that was never made, as the shim tells it. */
static void failed(uint32_t conn, int pid, const char *name, const char *peer, int reason, uint64_t at)
{
	vcr_flow_open(flow, conn, pid, true, name, peer, at);
	vcr_flow_close(flow, conn, reason, at);
}

START_TEST(a_model_that_cannot_be_reached_is_a_failed_call)
{
	start(false);
	failed(1, 7, "api.openai.com", "[::ffff:10.0.0.1]:443", ECONNREFUSED, 1);
	failed(2, 7, "api.openai.com", "[2001:db8::1]:443", ENETUNREACH, 1000); /* another address of the same attempt */
	failed(3, 7, "www.example.com", "[::ffff:10.0.0.2]:443", ECONNREFUSED, 2000);
	ck_assert_str_eq(said.log.data, "");
	vcr_flow_process_gone(flow, 7, 3000);
	ck_assert_ptr_nonnull(strstr(said.log.data, "refused"));
	ck_assert_int_eq(said.calls, 1);
	finish();
}
END_TEST

START_TEST(an_address_that_fails_is_no_failure_when_the_next_one_answers)
{
	start(false);
	failed(1, 7, "api.openai.com", "[2001:db8::1]:443", ENETUNREACH, 1);
	vcr_flow_open(flow, 2, 7, true, "api.openai.com", "10.0.0.1:443", 2);
	static const char request[] = "POST /v1/chat/completions HTTP/1.1\r\nHost: api.openai.com\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
	vcr_flow_out(flow, 2, 7, 7, request, sizeof request - 1, 3);
	vcr_flow_all_gone(flow, 4);
	ck_assert_int_eq(said.calls, 1);
	ck_assert_ptr_null(strstr(said.log.data, "unreachable"));
	finish();
}
END_TEST

static TCase *flows(void)
{
	TCase *tc = tcase_create("flow");
	tcase_add_test(tc, a_model_that_cannot_be_reached_is_a_failed_call);
	tcase_add_test(tc, an_address_that_fails_is_no_failure_when_the_next_one_answers);
	tcase_add_test(tc, a_call_has_its_request_answer_host_and_times);
	tcase_add_test(tc, keep_alive_pipelining_head_and_1xx_keep_requests_and_answers_together);
	tcase_add_test(tc, a_compressed_stream_is_decoded_in_any_split);
	tcase_add_test(tc, a_cut_answer_is_reported_once_with_what_had_arrived);
	tcase_add_test(tc, an_answer_that_lasts_until_the_end_of_the_connection_is_complete_at_eof);
	tcase_add_test(tc, a_client_that_turns_away_at_the_end_of_the_stream_has_missed_nothing);
	tcase_add_test(tc, streams_of_http2_are_calls_of_their_own_however_they_interleave);
	tcase_add_test(tc, ends_of_http2_streams_say_who_ended_them);
	tcase_add_test(tc, a_stream_that_crosses_the_servers_goaway_is_refused_too_and_one_that_it_looked_at_is_not);
	tcase_add_test(tc, compressed_messages_of_grpc_are_reported_as_what_they_say);
	tcase_add_test(tc, an_upgrade_to_h2c_answers_the_request_that_asked_for_it_as_stream_1);
	tcase_add_test(tc, damage_ends_what_can_be_read_of_an_http2_connection_and_is_said);
	tcase_add_test(tc, an_http2_answer_whose_record_overtakes_its_request_is_kept);
	tcase_add_test(tc, what_is_not_a_models_is_muted_and_a_gateway_is_not);
	tcase_add_test(tc, everything_is_reported_when_everything_is_captured);
	tcase_add_test(tc, a_connection_joined_in_the_middle_is_followed_from_its_next_request);
	tcase_add_test(tc, an_answer_recorded_before_its_request_is_still_its_answer);
	tcase_add_test(tc, a_malformed_answer_is_said_and_the_next_call_is_seen);
	tcase_add_test(tc, a_broken_coding_keeps_what_it_gave);
	tcase_add_test(tc, an_early_refusal_does_not_confuse_the_next_request);
	tcase_add_test(tc, a_tunnel_is_looked_into);
	tcase_add_test(tc, each_response_of_a_websocket_is_a_call_with_what_was_sent_since_the_one_before);
	tcase_add_test(tc, responses_of_a_websocket_that_overlap_are_told_apart_by_their_ids);
	tcase_add_test(tc, a_response_that_the_server_began_by_itself_is_a_call_too);
	tcase_add_test(tc, a_websocket_that_ends_in_the_middle_says_how);
	tcase_add_test(tc, of_another_api_a_turn_lasts_until_it_is_said_to_be_complete);
	tcase_add_test(tc, a_websocket_that_is_no_models_or_cannot_be_read_is_let_go);
	tcase_add_test(tc, the_host_comes_from_the_field_the_target_or_the_connection);
	tcase_add_test(tc, fifty_interleaved_streams_stay_apart);
	tcase_add_test(tc, noise_on_any_connection_breaks_nothing);
	return tc;
}

TAP_MAIN("flow", flows)
