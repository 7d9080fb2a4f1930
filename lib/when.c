#include "when.h"
#include "scan.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECOND INT64_C(1000000000)

/* H:MM[:SS] up to the end of s. */
static bool read_clock(const char *s, struct tm *tm)
{
	int h, m, sec = 0, used = 0, more = 0;
	if (!isdigit((unsigned char)*s) || sscanf(s, "%2d:%2d%n", &h, &m, &used) < 2 || !isdigit((unsigned char)s[used - 1]))
		return false;
	if (s[used] == ':' && isdigit((unsigned char)s[used + 1]) && sscanf(s + used, ":%2d%n", &sec, &more) == 1)
		used += more;
	if (s[used] || h > 23 || m > 59 || m < 0 || sec > 60)
		return false;
	tm->tm_hour = h;
	tm->tm_min = m;
	tm->tm_sec = sec;
	return true;
}

static bool local(struct tm *tm, int64_t *ns)
{
	struct tm asked = *tm;
	tm->tm_isdst = -1;
	time_t t = mktime(tm);
	if (tm->tm_mday != asked.tm_mday || tm->tm_mon != asked.tm_mon || t < -8 * SECOND || t > 8 * SECOND)
		return false;
	*ns = (int64_t)t * SECOND;
	return true;
}

static bool on_the_day(const char *s, int64_t day_ns, int64_t *ns)
{
	time_t day = (time_t)(day_ns / SECOND);
	struct tm tm;
	localtime_r(&day, &tm);
	return read_clock(s, &tm) && local(&tm, ns);
}

/* A date, or a date and a clock time, with no offset. */
static bool local_date(const char *s, int64_t *ns)
{
	struct tm tm = { 0 };
	int used = 0;
	for (const char *p = s; p < s + 10; p++)
		if (p - s == 4 || p - s == 7 ? *p != '-' : !isdigit((unsigned char)*p))
			return false;
	if (sscanf(s, "%4d-%2d-%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &used) != 3 || used != 10)
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	if (s[10] && ((s[10] != 'T' && s[10] != ' ') || !read_clock(s + 11, &tm)))
		return false;
	return local(&tm, ns);
}

static bool span_before(const char *s, int64_t now_ns, int64_t *ns)
{
	static const struct { char unit; int64_t s; } units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 }, { 'w', 7 * 86400 } };
	char *end;
	errno = 0;
	long long n = strtoll(s, &end, 10);
	if (!isdigit((unsigned char)*s) || errno || !*end || end[1] || n > 1000000)
		return false;
	for (size_t i = 0; i < sizeof units / sizeof *units; i++)
		if (units[i].unit == *end) {
			*ns = now_ns - n * units[i].s * SECOND;
			return true;
		}
	return false;
}

bool vcr_when(const char *s, int64_t day_ns, int64_t now_ns, int64_t *ns)
{
	return (now_ns && span_before(s, now_ns, ns)) || on_the_day(s, day_ns, ns) || local_date(s, ns) || vcr_scan_time(s, strlen(s), ns);
}
