#include "around.h"
#include "tap.h"

static struct vcr_around around;

/* Words with a NUL behind each. */
static void words(struct vcr_buf *out, const char *text)
{
	for (; *text; text += *text == ' ') {
		size_t n = strcspn(text, " ");
		vcr_buf_add(out, text, n);
		vcr_buf_putc(out, 0);
		text += n;
	}
}

static bool begins(const char *text)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	words(&b, text);
	return vcr_around_begins(&around, b.data, b.len);
}

static void setup(void)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	around = (struct vcr_around)VCR_AROUND_INIT;
	words(&b, "/usr/bin/python3 /srv/agent.py --go ls");
	ck_assert(!vcr_around_add(&around, &b));
}

static void teardown(void)
{
	vcr_around_release(&around);
}

START_TEST(the_recorded_command_begins_wherever_its_program_lies)
{
	ck_assert(!around.begun && begins("python3 /srv/agent.py --go ls") && around.begun);
}
END_TEST

START_TEST(a_script_is_known_without_its_interpreter)
{
	ck_assert(begins("agent.py --go ls") && begins("./agent.py --go ls"));
}
END_TEST

START_TEST(what_has_other_arguments_or_is_only_the_last_of_them_is_around_it)
{
	static const char *const others[] = { "python3 /srv/agent.py --go", "python3 /srv/agent.py --go ls more", "python3 /srv/other.py --go ls", "python2 /srv/agent.py --go ls", "ls", "", "timeout 9 python3 /srv/agent.py --go ls" };
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		ck_assert(!begins(others[i]));
	ck_assert(!around.begun);
}
END_TEST

static TCase *cases(void)
{
	TCase *tc = tcase_create("around");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, the_recorded_command_begins_wherever_its_program_lies);
	tcase_add_test(tc, a_script_is_known_without_its_interpreter);
	tcase_add_test(tc, what_has_other_arguments_or_is_only_the_last_of_them_is_around_it);
	return tc;
}

TAP_MAIN("around", cases)
