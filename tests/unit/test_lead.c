#include "lead.h"
#include "tap.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct vcr_spool_header *fresh(void)
{
	struct vcr_spool_header *h = calloc(1, VCR_SPOOL_HEADER);
	ck_assert_ptr_nonnull(h);
	return h;
}

static struct vcr_lead_options options(const char *const *hosts)
{
	return (struct vcr_lead_options){ .port = 4711, .token = "0123456789abcdef", .ca = "/run/x.ca.pem", .hosts = hosts };
}

static int pid;

static void lead(struct vcr_spool_header *h, unsigned at, uint64_t key, unsigned name, unsigned port, uint64_t more)
{
	h->gate.led[at % VCR_LEAD_PORTS] = key | (uint64_t)name << VCR_LED_NAME_SHIFT | (uint64_t)port << VCR_LED_PORT_SHIFT | VCR_LED_SET | more;
}

static void name(struct vcr_spool_header *h, unsigned i, const char *text)
{
	snprintf(h->gate.name[i].text, VCR_LEAD_NAME, "%s", text);
	h->gate.name[i].state = VCR_LEAD_NAME_SET;
}

static enum vcr_gate_meant v4(struct vcr_spool_header *h, unsigned port, char *host)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	return vcr_lead_meant(h, (void *)&a, host, &pid);
}

static enum vcr_gate_meant v6(struct vcr_spool_header *h, unsigned port, char *host)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	return vcr_lead_meant(h, (void *)&a, host, &pid);
}

START_TEST(what_is_published_can_be_read_and_ends_when_it_is_retracted)
{
	struct vcr_spool_header *h = fresh();
	const char *const hosts[] = { "api.openai.com", "", "localhost:11434", NULL };
	struct vcr_lead_options o = options(hosts);
	struct vcr_error e;
	o.replay = o.v6 = true;
	ck_assert_int_eq(vcr_lead_publish(h, &o, &e), 0);
	ck_assert_int_eq(h->gate.state, VCR_LEAD_READY);
	ck_assert_int_eq(h->gate.flags, VCR_LEAD_REPLAY | VCR_LEAD_V6);
	ck_assert_int_eq(h->gate.pid, getpid());
	ck_assert_uint_ne(h->gate.start, 0);
	ck_assert_mem_eq(h->gate.hosts, "api.openai.com\0localhost:11434\0", 32);
	vcr_lead_retract(h);
	ck_assert_int_eq(h->gate.state, VCR_LEAD_ENDED);
	free(h);
}
END_TEST

START_TEST(texts_that_do_not_fit_are_an_error_and_hosts_that_do_not_fit_are_named)
{
	static char longer[VCR_LEAD_PATH + 1], host[600][16];
	const char *hosts[601] = { NULL };
	struct vcr_spool_header *h = fresh();
	struct vcr_lead_options o = options(hosts);
	struct vcr_error e;
	memset(longer, 'x', VCR_LEAD_PATH);
	o.ca = longer;
	ck_assert_int_eq(vcr_lead_publish(h, &o, &e), VCR_EINVAL);
	ck_assert_int_eq(h->gate.state, VCR_LEAD_NONE);
	o.ca = "/ca";
	for (int i = 0; i < 600; i++) {
		snprintf(host[i], sizeof host[i], "host%07d.x", i);
		hosts[i] = host[i];
	}
	ck_assert_int_eq(vcr_lead_publish(h, &o, &e), VCR_ELIMIT);
	ck_assert_ptr_nonnull(strstr(e.what, "host"));
	ck_assert_int_eq(h->gate.state, VCR_LEAD_READY);
	free(h);
}
END_TEST

START_TEST(a_connection_is_known_by_its_port_once)
{
	struct vcr_spool_header *h = fresh();
	char host[VCR_GATE_HOST] = "";
	name(h, 3, "api.openai.com");
	name(h, 4, "::1");
	lead(h, 40000, 40000, 3, 443, 4194303ull << VCR_LED_PID_SHIFT);
	lead(h, 40001, 40000 | VCR_LED_V6, 4, 8443, 0);
	lead(h, 40002, 40000 + 2, 3, 3128, VCR_LED_PROXY);
	ck_assert_int_eq(v4(h, 40001, host), VCR_MEANT_UNKNOWN);
	ck_assert_int_eq(v4(h, 40000, host), VCR_MEANT_HOST);
	ck_assert_str_eq(host, "api.openai.com:443");
	ck_assert_int_eq(pid, 4194303);
	ck_assert_int_eq(v4(h, 40000, host), VCR_MEANT_UNKNOWN);
	ck_assert_int_eq(v6(h, 40000, host), VCR_MEANT_HOST);
	ck_assert_str_eq(host, "[::1]:8443");
	ck_assert_int_eq(v4(h, 40002, host), VCR_MEANT_PROXY);
	free(h);
}
END_TEST

START_TEST(a_connection_without_a_name_is_known_by_its_address_be_it_this_machines)
{
	struct vcr_spool_header *h = fresh();
	char host[VCR_GATE_HOST] = "";
	for (unsigned alone = 0; alone < 2; alone++) {
		h->gate.address[(40000 + alone) % VCR_LEAD_ADDRESSES] = (struct vcr_lead_address){ .key = 40000 | VCR_LED_KNOWN, .pid = 77, .ip = { [10] = 0xff, 0xff, 127, 0, 0, 9 }, .port = 8443, .alone = alone };
		ck_assert_int_eq(v4(h, 40000, host), alone ? VCR_MEANT_ADDRESS : VCR_MEANT_HOST);
		ck_assert_str_eq(host, "127.0.0.9:8443");
		ck_assert_int_eq(pid, 77);
		ck_assert_int_eq(v4(h, 40000, host), VCR_MEANT_UNKNOWN);
	}
	free(h);
}
END_TEST

static void late(struct vcr_spool_header *h, int i, unsigned name, unsigned port)
{
	h->gate.late[i] = 0x12345678u | (uint64_t)name << VCR_LATE_NAME_SHIFT | (uint64_t)port << VCR_LATE_PORT_SHIFT | VCR_LATE_SET | VCR_LATE_TRIED;
}

START_TEST(what_a_client_thinks_of_the_certificate_is_said_of_its_place_alone)
{
	struct vcr_spool_header *h = fresh();
	name(h, 0, "api.openai.com");
	name(h, 1, "10.0.0.1");
	name(h, 2, "fd00::1");
	for (int i = 0; i < 3; i++)
		late(h, i, (unsigned)i, 443);
	late(h, 3, 0, 8443);
	uint64_t other = h->gate.late[3];
	bool news = false;
	ck_assert(vcr_lead_judged(h, "api.openai.com:443", true, &news) && news);
	news = false;
	ck_assert(vcr_lead_judged(h, "api.openai.com:443", true, &news) && !news);
	ck_assert_uint_eq(h->gate.late[0] >> 60, 0xb);
	ck_assert(vcr_lead_judged(h, "api.openai.com:443", false, &news) && vcr_lead_judged(h, "10.0.0.1:443", false, &news) && vcr_lead_judged(h, "[fd00::1]:443", false, &news));
	ck_assert_uint_eq(h->gate.late[0] >> 60, 0xf);
	ck_assert_uint_eq(h->gate.late[1] >> 60, 0xe);
	ck_assert_uint_eq(h->gate.late[2] >> 60, 0xe);
	ck_assert_uint_eq(h->gate.late[3], other);
	char host[VCR_GATE_HOST];
	lead(h, 7, 7, 1, 443, 0);
	ck_assert_int_eq(v4(h, 7, host), VCR_MEANT_ADDRESS);
	lead(h, 8, 8, 0, 443, 0);
	ck_assert_int_eq(v4(h, 8, host), VCR_MEANT_HOST);
	lead(h, 9, 9, 1, 8000, 0);
	ck_assert_int_eq(v4(h, 9, host), VCR_MEANT_HOST);
	ck_assert(!vcr_lead_judged(h, "elsewhere.example:443", false, &news) && !vcr_lead_judged(h, "10.0.0.1", false, &news));
	memset(&h->gate, 0xff, sizeof h->gate);
	ck_assert(!vcr_lead_judged(h, "elsewhere.example:443", false, &news));
	free(h);
}
END_TEST

START_TEST(what_a_process_scribbles_is_not_believed)
{
	struct vcr_spool_header *h = fresh();
	char host[VCR_GATE_HOST] = "kept";
	memset(&h->gate, 0xff, sizeof h->gate);
	for (unsigned port = 0; port < 65536; port += 97) {
		ck_assert_int_eq(v4(h, port, host), VCR_MEANT_UNKNOWN);
		ck_assert_int_eq(v6(h, port, host), VCR_MEANT_UNKNOWN);
	}
	memset(h->gate.name[0].text, 'a', VCR_LEAD_NAME); /* no end */
	h->gate.name[0].state = VCR_LEAD_NAME_SET;
	name(h, 1, "evil.example\r\nX: y");
	name(h, 2, "");
	lead(h, 5, 5, 0, 443, 0);
	lead(h, 6, 6, 1, 443, 0);
	lead(h, 7, 7, 2, 443, 0);
	lead(h, 8, 8, 100, 443, 0);
	lead(h, 9, 9, 0, 0, 0);
	ck_assert_int_eq(v4(h, 5, host), VCR_MEANT_HOST);
	ck_assert_uint_eq(strlen(host), VCR_LEAD_NAME - 1 + 4);
	for (unsigned port = 6; port < 10; port++)
		ck_assert_int_eq(v4(h, port, host), VCR_MEANT_UNKNOWN);
	free(h);
}
END_TEST

static TCase *tc_lead(void)
{
	TCase *tc = tcase_create("lead");
	tcase_add_test(tc, what_is_published_can_be_read_and_ends_when_it_is_retracted);
	tcase_add_test(tc, texts_that_do_not_fit_are_an_error_and_hosts_that_do_not_fit_are_named);
	tcase_add_test(tc, a_connection_is_known_by_its_port_once);
	tcase_add_test(tc, a_connection_without_a_name_is_known_by_its_address_be_it_this_machines);
	tcase_add_test(tc, what_a_client_thinks_of_the_certificate_is_said_of_its_place_alone);
	tcase_add_test(tc, what_a_process_scribbles_is_not_believed);
	return tc;
}

TAP_MAIN("lead", tc_lead)
