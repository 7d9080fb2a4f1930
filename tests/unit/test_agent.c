#include "agent.h"
#include "tap.h"
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];

static void set_up(void)
{
	strcpy(dir, "/tmp/vcr-test-agent-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
}

static void tear_down(void)
{
	char command[128];
	ck_assert_int_eq(chdir("/"), 0);
	snprintf(command, sizeof command, "rm -rf '%s'", dir);
	ck_assert_int_eq(system(command), 0);
}

static void put(const char *name, const char *text)
{
	FILE *f = fopen(name, "w");
	fputs(text, f);
	fclose(f);
	chmod(name, 0755);
}

static void identity(struct vcr_buf *out, const char *a, const char *b)
{
	char *argv[] = { (char *)a, (char *)b, NULL };
	vcr_buf_reset(out);
	ck_assert_int_eq(vcr_agent_identity(argv, out), 0);
}

START_TEST(another_script_is_another_program)
{
	VCR_AUTO_BUF one = VCR_BUF_INIT, two = VCR_BUF_INIT;
	put("agent.sh", "echo one\n");
	identity(&one, "/bin/sh", "agent.sh");
	ck_assert_msg(strstr(one.data, ", agent.sh ") && !strchr(one.data, '\n'), "%s", one.data);
	identity(&two, "/bin/sh", "agent.sh");
	ck_assert_str_eq(one.data, two.data);
	put("agent.sh", "echo two\n");
	identity(&two, "/bin/sh", "agent.sh");
	ck_assert_str_ne(one.data, two.data);
}
END_TEST

START_TEST(a_script_that_is_run_names_its_package)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	ck_assert_int_eq(mkdir("pkg", 0755) | mkdir("pkg/bin", 0755), 0);
	put("pkg/package.json", "{\"name\":\"@x/agent\",\"version\":\"1.2.3\"}");
	put("pkg/bin/agent", "#!/bin/sh\n:\n");
	ck_assert_int_eq(symlink("pkg/bin/agent", "link"), 0);
	identity(&b, "./link", NULL);
	ck_assert_msg(strstr(b.data, ", @x/agent 1.2.3"), "%s", b.data);
}
END_TEST

/* A virtual environment, as pip makes it; what its python is does not matter. */
static void make_environment(void)
{
	ck_assert_int_eq(system("mkdir -p venv/bin venv/lib/python3.11/site-packages/the_agent-2.5.0.dist-info venv/lib/python3.11/site-packages/other-1.dist-info && "
		"ln -s /bin/sh venv/bin/python3 && printf '#!%s/venv/bin/python3\\n' \"$PWD\" >venv/bin/agent && chmod 755 venv/bin/agent"), 0);
	put("venv/lib/python3.11/site-packages/other-1.dist-info/entry_points.txt", "[console_scripts]\nagentic = other:main\n");
	put("venv/lib/python3.11/site-packages/the_agent-2.5.0.dist-info/entry_points.txt", "[console_scripts]\nagent = the.agent:main\n");
	put("venv/lib/python3.11/site-packages/the_agent-2.5.0.dist-info/top_level.txt", "the\n");
}

START_TEST(a_python_command_names_the_package_that_brought_it)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	make_environment();
	ck_assert_int_eq(symlink("venv/bin/agent", "link"), 0);
	identity(&b, "./link", NULL);
	ck_assert_msg(strstr(b.data, ", the_agent 2.5.0"), "%s", b.data);
	identity(&b, "venv/bin/python3", "venv/bin/agent");
	ck_assert_msg(strstr(b.data, ", the_agent 2.5.0"), "%s", b.data);
}
END_TEST

START_TEST(a_python_module_names_its_package)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	static const char *const modules[] = { "the.cli", "The-Agent" };
	make_environment();
	for (int i = 0; i < 2; i++) {
		char path[128], *argv[] = { path, "-m", (char *)modules[i], NULL };
		snprintf(path, sizeof path, "%s/venv/bin/python3", dir);
		vcr_buf_reset(&b);
		ck_assert_int_eq(vcr_agent_identity(argv, &b), 0);
		ck_assert_msg(strstr(b.data, ", the_agent 2.5.0"), "%s: %s", modules[i], b.data);
	}
}
END_TEST

START_TEST(a_process_is_what_its_command_is)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT, of = VCR_BUF_INIT;
	char *argv[] = { "sh", "-e", "agent.sh", "more", NULL };
	put("agent.sh", "echo\n");
	ck_assert_int_eq(chdir("/"), 0);
	ck_assert_int_eq(vcr_agent_of_process("/bin/sh", dir, 4, argv, &of), 0);
	ck_assert_int_eq(chdir(dir), 0);
	ck_assert_int_eq(vcr_agent_identity(argv, &b), 0);
	ck_assert_str_eq(of.data, b.data);
	ck_assert_ptr_nonnull(strstr(of.data, ", agent.sh "));
}
END_TEST

START_TEST(what_is_no_program_has_no_identity)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	identity(&b, "/nonexistent/agent", NULL);
	ck_assert_uint_eq(b.len, 0);
	identity(&b, "no-such-command-anywhere", NULL);
	ck_assert_uint_eq(b.len, 0);
}
END_TEST

/* Headers, notes and package files that lie. */
START_TEST(what_a_hostile_file_says_is_taken_within_bounds)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	unsigned char elf[256] = { 0x7f, 'E', 'L', 'F', 2, 1, 1 };
	memset(elf + 16, 0xff, sizeof elf - 16);
	elf[54] = 56, elf[55] = 0;
	FILE *f = fopen("bad", "w");
	fwrite(elf, 1, sizeof elf, f);
	fclose(f);
	chmod("bad", 0755);
	identity(&b, "./bad", NULL);
	put("package.json", "{\"name\":7,\"version\":[]}");
	put("script", "#!/bin/sh\n");
	identity(&b, "./script", NULL);
	ck_assert_msg(strstr(b.data, "script "), "%s", b.data);
	put("package.json", "[");
	identity(&b, "./script", NULL);
}
END_TEST

static TCase *agent(void)
{
	TCase *tc = tcase_create("agent");
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, another_script_is_another_program);
	tcase_add_test(tc, a_script_that_is_run_names_its_package);
	tcase_add_test(tc, a_python_command_names_the_package_that_brought_it);
	tcase_add_test(tc, a_python_module_names_its_package);
	tcase_add_test(tc, a_process_is_what_its_command_is);
	tcase_add_test(tc, what_is_no_program_has_no_identity);
	tcase_add_test(tc, what_a_hostile_file_says_is_taken_within_bounds);
	return tc;
}

TAP_MAIN("agent", agent)
