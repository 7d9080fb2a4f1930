#include "lead-address.h"
#include "tap.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static struct vcr_spool_header *h;

static void set_up(void)
{
	h = calloc(1, sizeof *h);
	static const char hosts[] = "api.openai.com\0" "localhost:11434\0" "127.0.0.1:8000\0" "203.0.113.5\0" "198.51.100.7:8443\0";
	memcpy(h->gate.hosts, hosts, sizeof hosts);
	h->gate.port = 4000;
	h->gate.state = VCR_LEAD_READY;
}

static void tear_down(void)
{
	free(h);
}

static struct sockaddr_in6 at(const char *ip, unsigned port)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	if (inet_pton(AF_INET6, ip, &six.sin6_addr) == 1)
		return six;
	ck_assert_int_eq(inet_pton(AF_INET, ip, &four.sin_addr), 1);
	memset(&six, 0, sizeof six);
	memcpy(&six, &four, sizeof four);
	return six;
}

static enum vcr_lead_goal goal(const char *ip, unsigned port, bool stream)
{
	struct sockaddr_in6 a = at(ip, port);
	return vcr_lead_goal(h, (struct sockaddr *)&a, sizeof a, stream);
}

START_TEST(in_a_record_what_may_be_a_models_is_led)
{
	ck_assert_int_eq(goal("93.184.216.34", 443, true), VCR_GOAL_GATE);
	ck_assert_int_eq(goal("93.184.216.34", 80, true), VCR_GOAL_GATE);
	ck_assert_int_eq(goal("2001:db8::1", 443, true), VCR_GOAL_GATE);
	ck_assert_int_eq(goal("203.0.113.5", 9999, true), VCR_GOAL_GATE);
	ck_assert_int_eq(goal("198.51.100.7", 8443, true), VCR_GOAL_GATE);
	ck_assert_int_eq(goal("198.51.100.7", 8444, true), VCR_GOAL_NONE);
	ck_assert_int_eq(goal("93.184.216.34", 22, true), VCR_GOAL_NONE);
	ck_assert_int_eq(goal("93.184.216.34", 443, false), VCR_GOAL_NONE);
}
END_TEST

START_TEST(of_this_machine_only_ports_that_are_listed)
{
	ck_assert_int_eq(goal("127.0.0.1", 11434, true), VCR_GOAL_GATE);
	ck_assert_int_eq(goal("::1", 11434, true), VCR_GOAL_GATE);
	ck_assert_int_eq(goal("::ffff:127.0.0.1", 8000, true), VCR_GOAL_GATE);
	ck_assert_int_eq(goal("127.0.0.1", 80, true), VCR_GOAL_NONE);
	ck_assert_int_eq(goal("127.0.0.1", 4000, true), VCR_GOAL_NONE);
	ck_assert_int_eq(goal("0.0.0.0", 5432, true), VCR_GOAL_NONE);
}
END_TEST

START_TEST(in_a_replay_nothing_else_leaves_the_machine)
{
	h->gate.flags = VCR_LEAD_REPLAY;
	ck_assert_int_eq(goal("93.184.216.34", 22, true), VCR_GOAL_GATE);
	ck_assert_int_eq(goal("93.184.216.34", 53, false), VCR_GOAL_OUT);
	ck_assert_int_eq(goal("127.0.0.1", 5432, true), VCR_GOAL_NONE);
}
END_TEST

START_TEST(what_is_no_address_is_none_of_ours)
{
	struct sockaddr_in6 a = at("2001:db8::1", 443);
	ck_assert_int_eq(vcr_lead_goal(h, (struct sockaddr *)&a, 8, true), VCR_GOAL_NONE);
	a.sin6_family = AF_UNIX;
	ck_assert_int_eq(vcr_lead_goal(h, (struct sockaddr *)&a, sizeof a, true), VCR_GOAL_NONE);
}
END_TEST

START_TEST(what_was_meant_is_told_once)
{
	char to[VCR_LEAD_ADDRESS];
	int pid = 0;
	bool here;
	struct sockaddr_in6 own = at("127.0.0.1", 50001), meant = at("93.184.216.34", 443), own6 = at("::1", 50001), meant6 = at("2001:db8::7", 80);
	ck_assert(vcr_lead_say_address(h, (struct sockaddr *)&own, (struct sockaddr *)&meant, 77));
	ck_assert(vcr_lead_say_address(h, (struct sockaddr *)&own6, (struct sockaddr *)&meant6, 78));
	ck_assert(vcr_lead_take_address(h, 50001, to, &pid, &here));
	ck_assert_str_eq(to, "93.184.216.34:443");
	ck_assert_int_eq(pid, 77);
	ck_assert(!here);
	ck_assert(!vcr_lead_take_address(h, 50001, to, &pid, &here));
	ck_assert(vcr_lead_take_address(h, 50001 | VCR_LED_V6, to, &pid, &here));
	ck_assert_str_eq(to, "[2001:db8::7]:80");
	ck_assert(!vcr_lead_take_address(h, 50002, to, &pid, &here));
}
END_TEST

START_TEST(a_full_table_gives_up_the_oldest_place)
{
	char to[VCR_LEAD_ADDRESS];
	int pid, found = 0;
	bool here;
	struct sockaddr_in6 meant = at("93.184.216.34", 443);
	for (unsigned i = 0; i < 2 * VCR_LEAD_PROBE; i++) {
		struct sockaddr_in6 own = at("127.0.0.1", 1000 + VCR_LEAD_ADDRESSES * i);
		ck_assert(vcr_lead_say_address(h, (struct sockaddr *)&own, (struct sockaddr *)&meant, 1 + (int)i));
	}
	for (unsigned i = 0; i < 2 * VCR_LEAD_PROBE; i++)
		found += vcr_lead_take_address(h, 1000 + VCR_LEAD_ADDRESSES * i, to, &pid, &here) && pid == 1 + (int)i;
	ck_assert_int_eq(found, VCR_LEAD_PROBE);
}
END_TEST

START_TEST(what_anybody_may_have_scribbled_there_is_checked)
{
	char to[VCR_LEAD_ADDRESS];
	int pid;
	bool here;
	h->gate.address[1].key = 1 | VCR_LED_KNOWN;
	h->gate.address[1].port = 70000;
	ck_assert(!vcr_lead_take_address(h, 1, to, &pid, &here));
	memset(h->gate.hosts, 'x', sizeof h->gate.hosts); /* without an end */
	ck_assert_int_eq(goal("127.0.0.1", 11434, true), VCR_GOAL_NONE);
}
END_TEST

static TCase *tc_lead_address(void)
{
	TCase *tc = tcase_create("lead-address");
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, in_a_record_what_may_be_a_models_is_led);
	tcase_add_test(tc, of_this_machine_only_ports_that_are_listed);
	tcase_add_test(tc, in_a_replay_nothing_else_leaves_the_machine);
	tcase_add_test(tc, what_is_no_address_is_none_of_ours);
	tcase_add_test(tc, what_was_meant_is_told_once);
	tcase_add_test(tc, a_full_table_gives_up_the_oldest_place);
	tcase_add_test(tc, what_anybody_may_have_scribbled_there_is_checked);
	return tc;
}

TAP_MAIN("lead-address", tc_lead_address)
