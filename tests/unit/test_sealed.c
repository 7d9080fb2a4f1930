/* Namespaces of a command's own. Where the kernel refuses them, the tests that need them say so and pass. */
#include "sealed.h"
#include "tap.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char hosts[] = "/tmp/vcr-sealed-test.XXXXXX";

static void set_up(void)
{
	strcpy(strrchr(hosts, '.') + 1, "XXXXXX");
	int fd = mkstemp(hosts);
	ck_assert_int_ge(fd, 0);
	close(fd);
}

static void tear_down(void)
{
	unlink(hosts);
}

static bool holds(const char *path, const char *text)
{
	static char all[1 << 16];
	FILE *f = fopen(path, "r");
	size_t n = f ? fread(all, 1, sizeof all - 1, f) : 0;
	all[n] = 0;
	if (f)
		fclose(f);
	return strstr(all, text);
}

START_TEST(whole_names_lead_to_this_machine_and_what_stood_there_stays)
{
	static const char *const list[] = { "api.openai.com", "*.example.com", "gateway.example:8443", "203.0.113.5", "[::1]:80", "localhost:11434", "bad name", "", NULL };
	struct stat st;
	ck_assert_int_eq(vcr_sealed_write_hosts(hosts, list, NULL), 0);
	ck_assert(holds(hosts, "127.0.0.1 api.openai.com\n::1 api.openai.com\n"));
	ck_assert(holds(hosts, "127.0.0.1 gateway.example\n"));
	ck_assert(!holds(hosts, "*"));
	ck_assert(!holds(hosts, "203.0.113.5"));
	ck_assert(!holds(hosts, "127.0.0.1 bad"));
	ck_assert(holds("/etc/hosts", "localhost") == holds(hosts, "localhost"));
	ck_assert_int_eq(stat(hosts, &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0644);
}
END_TEST

START_TEST(a_file_that_cannot_be_written_is_an_error)
{
	struct vcr_error e = { 0 };
	ck_assert_int_eq(vcr_sealed_write_hosts("/nonexistent/hosts", NULL, &e), VCR_EIO);
	ck_assert(strstr(e.what, "/nonexistent/hosts"));
}
END_TEST

/* In a child that went in: its file, its listener, nobody else's. */
static int look_inside(const struct vcr_sealed *s)
{
	struct sockaddr_in a = { .sin_family = AF_INET }, out = { .sin_family = AF_INET, .sin_port = htons(80), .sin_addr.s_addr = inet_addr("192.0.2.1") };
	socklen_t n = sizeof a;
	char before[4096], after[4096];
	if (!getcwd(before, sizeof before) || vcr_sealed_enter(s, NULL) || vcr_sealed_cover(hosts, NULL, NULL))
		return 1;
	if (!getcwd(after, sizeof after) || strcmp(before, after))
		return 2;
	if (!holds("/etc/hosts", "127.0.0.1 api.openai.com"))
		return 3;
	if (getsockname(s->listener[0], (struct sockaddr *)&a, &n) || connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&a, n))
		return 4;
	if (!connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&out, sizeof out) || errno != ENETUNREACH)
		return 5;
	return 0;
}

START_TEST(inside_there_is_the_gates_listener_and_nothing_else)
{
	static const char *const list[] = { "api.openai.com", NULL };
	struct vcr_sealed s = VCR_SEALED_INIT;
	struct vcr_error e = { 0 };
	int status = -1;
	if (vcr_sealed_make(&s, &e)) {
		ck_assert_int_eq(e.code, VCR_ENOSYS);
		printf("# not to be seen here: %s\n", e.what);
		return;
	}
	ck_assert_int_eq(vcr_sealed_write_hosts(hosts, list, NULL), 0);
	pid_t pid = fork();
	if (pid == 0)
		_exit(look_inside(&s));
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(WEXITSTATUS(status), 0);
	ck_assert(!holds("/etc/hosts", "127.0.0.1 api.openai.com"));
	vcr_sealed_release(&s);
	ck_assert_int_eq(s.net, -1);
}
END_TEST

static TCase *tc_sealed(void)
{
	TCase *tc = tcase_create("sealed");
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, whole_names_lead_to_this_machine_and_what_stood_there_stays);
	tcase_add_test(tc, a_file_that_cannot_be_written_is_an_error);
	tcase_add_test(tc, inside_there_is_the_gates_listener_and_nothing_else);
	return tc;
}

TAP_MAIN("sealed", tc_sealed)
