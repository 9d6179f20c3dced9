// For images of the node e2e suite: `nmeter -d0 '%3t'` as busybox has it where Debian's has not. Prints the time of day in UTC with
// milliseconds, once: whoever asks takes the first line.
#include <stdio.h>
#include <time.h>

int main(void) {
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) return 1;
    struct tm parts;
    if (gmtime_r(&now.tv_sec, &parts) == NULL) return 1;
    return printf("%02d:%02d:%02d.%03ld\n", parts.tm_hour, parts.tm_min, parts.tm_sec, now.tv_nsec / 1000000) < 0;
}
