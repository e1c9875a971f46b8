/* The bare load balancer as a C loop: 10 servers of 8 workers, FIFO queues, Poisson arrivals, lognormal work.
 *
 * What somebody would write by hand for this one question and no other. Prints requests, mean time in seconds and
 * processor seconds. Arguments: requests, rate, policy (0 round robin, 1 least requests).
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SERVERS 10
#define WORKERS 8
#define RING (1 << 16)

typedef struct { double t; int64_t order; int32_t server; double began; } Event;

static Event heap[SERVERS * WORKERS + 1];
static int size;
static uint64_t state = 0x9e3779b97f4a7c15ull;

static double uniform(void) {
    uint64_t z = (state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

static double spare;
static int have_spare;

static double normal(void) { /* Marsaglia's polar method */
    double u, v, s;
    if (have_spare) { have_spare = 0; return spare; }
    do {
        u = 2.0 * uniform() - 1.0;
        v = 2.0 * uniform() - 1.0;
        s = u * u + v * v;
    } while (s >= 1.0 || s == 0.0);
    s = sqrt(-2.0 * log(s) / s);
    spare = v * s;
    have_spare = 1;
    return u * s;
}

static int earlier(const Event *a, const Event *b) { return a->t < b->t || (a->t == b->t && a->order < b->order); }

static void push(Event e) {
    int i = size++;
    while (i > 0 && earlier(&e, &heap[(i - 1) / 2])) { heap[i] = heap[(i - 1) / 2]; i = (i - 1) / 2; }
    heap[i] = e;
}

static void sink(Event e) {
    int i = 0;
    for (;;) {
        int c = 2 * i + 1;
        if (c >= size) break;
        if (c + 1 < size && earlier(&heap[c + 1], &heap[c])) c++;
        if (!earlier(&heap[c], &e)) break;
        heap[i] = heap[c];
        i = c;
    }
    heap[i] = e;
}

static double waiting[SERVERS][RING];
static uint32_t head[SERVERS], tail[SERVERS];
static int busy[SERVERS];

int main(int argc, char **argv) {
    long n = argc > 1 ? atol(argv[1]) : 1000000, begun = 0, ended = 0;
    double rate = argc > 2 ? atof(argv[2]) : 1000.0, sum = 0.0;
    int least = argc > 3 ? atoi(argv[3]) : 0, cursor = 0;
    double mean = 0.05, sigma = sqrt(log(2.0)), mu = log(mean) - sigma * sigma / 2.0;
    double next = -log1p(-uniform()) / rate;
    int64_t order = 0;
    clock_t start = clock();
    while (ended < n) {
        if (begun < n && (size == 0 || next <= heap[0].t)) {
            double t = next;
            int s = cursor;
            if (least) {
                int fewest = 1 << 30;
                for (int k = 0; k < SERVERS; k++) {
                    int i = cursor + k < SERVERS ? cursor + k : cursor + k - SERVERS;
                    int load = busy[i] + (int)(tail[i] - head[i]);
                    if (load < fewest) { fewest = load; s = i; }
                }
            }
            cursor = s + 1 == SERVERS ? 0 : s + 1;
            begun++;
            next = t - log1p(-uniform()) / rate;
            if (busy[s] < WORKERS) {
                busy[s]++;
                Event e = {t + exp(mu + sigma * normal()), order++, s, t};
                push(e);
            } else {
                if (tail[s] - head[s] == RING) { fprintf(stderr, "queue full\n"); return 1; }
                waiting[s][tail[s]++ % RING] = t;
            }
        } else {
            Event e = heap[0];
            int s = e.server;
            sum += e.t - e.began;
            ended++;
            if (tail[s] != head[s]) {
                Event f = {e.t + exp(mu + sigma * normal()), order++, s, waiting[s][head[s]++ % RING]};
                sink(f);
            } else {
                busy[s]--;
                Event last = heap[--size];
                if (size > 0) sink(last);
            }
        }
    }
    printf("%ld %.9f %.6f\n", ended, sum / ended, (double)(clock() - start) / CLOCKS_PER_SEC);
    return 0;
}
