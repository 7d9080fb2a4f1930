/* cc annotate.c `pkg-config --cflags --libs vcr` -o annotate && vcr-record -- ./annotate */
#include <vcr.h>

int main(void)
{
	vcr_annotate("{\"begin\":\"plan\",\"input\":{\"goal\":\"tidy up\"}}");
	vcr_annotate("{\"node\":\"look\",\"output\":{\"files\":3}}");
	vcr_annotate("{\"end\":\"plan\",\"output\":{\"steps\":1},\"tags\":[\"example\"]}");
	return 0;
}
