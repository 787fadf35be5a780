/* SPDX-License-Identifier: Apache-2.0
 *
 * sort_torch_cpu.c - the order in which torch.sort and torch.topk leave equal values on the
 * CPU.
 *
 * PyTorch calls libstdc++'s std::sort, std::partial_sort and std::nth_element, which are
 * not stable. Their steps are repeated here on indices. Sort is introsort: halves around the
 * median of three until 16 are left, heapsort where that goes too deep, and one insertion
 * sort over all. Nth element goes into the half that holds it until 3 are left. */
#include "sampling/sort_torch_cpu.h"

#include <stdbool.h>

enum { SMALL = 16 };

/* A range of indices, and the values they are ordered by. */
struct range {
    const float *v;
    uint32_t *at;
};

static bool less(struct range r, size_t i, size_t j)
{
    return r.v[r.at[i]] < r.v[r.at[j]];
}

static void swap(struct range r, size_t i, size_t j)
{
    uint32_t index = r.at[i];
    r.at[i] = r.at[j];
    r.at[j] = index;
}

/* Put `index` into the hole of the heap r [n], sinking the hole to a leaf first. */
static void fill_hole(struct range r, size_t n, size_t hole, uint32_t index)
{
    size_t top = hole, child = hole;
    while (child < (n - 1) / 2) {
        child = 2 * (child + 1);
        child -= less(r, child, child - 1);
        r.at[hole] = r.at[child];
        hole = child;
    }
    if (n % 2 == 0 && child == (n - 2) / 2) {
        child = 2 * child + 1;
        r.at[hole] = r.at[child];
        hole = child;
    }
    while (hole > top && r.v[r.at[(hole - 1) / 2]] < r.v[index]) {
        r.at[hole] = r.at[(hole - 1) / 2];
        hole = (hole - 1) / 2;
    }
    r.at[hole] = index;
}

/* The k lowest of n, as a heap, come first. */
static void select_by_heap(struct range r, size_t k, size_t n)
{
    for (size_t parent = k / 2; parent > 0; parent--)
        fill_hole(r, k, parent - 1, r.at[parent - 1]);
    for (size_t i = k; i < n; i++)
        if (less(r, i, 0)) {
            uint32_t index = r.at[i];
            r.at[i] = r.at[0];
            fill_hole(r, k, 0, index);
        }
}

static void sort_heap(struct range r, size_t n)
{
    while (n > 1) {
        uint32_t last = r.at[--n];
        r.at[n] = r.at[0];
        fill_hole(r, n, 0, last);
    }
}

/* The median of the second, middle and last becomes the first, around which the others are
 * parted. Returns where the upper part begins. */
static size_t partition(struct range r, size_t n)
{
    size_t a = 1, b = n / 2, c = n - 1, median;
    if (less(r, a, b))
        median = less(r, b, c) ? b : less(r, a, c) ? c : a;
    else
        median = less(r, a, c) ? a : less(r, b, c) ? c : b;
    swap(r, 0, median);
    size_t low = 1, high = n;
    for (;;) {
        while (less(r, low, 0))
            low++;
        high--;
        while (less(r, 0, high))
            high--;
        if (low >= high)
            return low;
        swap(r, low++, high);
    }
}

static void insertion_sort(struct range r, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        uint32_t index = r.at[i];
        size_t hole = i;
        for (; hole > 0 && r.v[index] < r.v[r.at[hole - 1]]; hole--)
            r.at[hole] = r.at[hole - 1];
        r.at[hole] = index;
    }
}

static int depth_of(size_t n)
{
    int depth = 0;
    for (; n > 1; n /= 2)
        depth += 2;
    return depth;
}

static void sort_halves(struct range r, size_t n, int depth)
{
    while (n > SMALL) {
        if (depth-- == 0) {
            select_by_heap(r, n, n);
            sort_heap(r, n);
            return;
        }
        size_t cut = partition(r, n);
        sort_halves((struct range){r.v, r.at + cut}, n - cut, depth);
        n = cut;
    }
}

static void sort(struct range r, size_t n)
{
    sort_halves(r, n, depth_of(n));
    insertion_sort(r, n);
}

static void nth_element(struct range r, size_t nth, size_t n)
{
    for (int depth = depth_of(n); n > 3; depth--) {
        if (depth == 0) {
            select_by_heap(r, nth + 1, n);
            swap(r, 0, nth);
            return;
        }
        size_t cut = partition(r, n);
        if (cut <= nth) {
            r.at += cut;
            nth -= cut;
            n -= cut;
        } else {
            n = cut;
        }
    }
    insertion_sort(r, n);
}

static struct range all_of(const float *v, size_t n, uint32_t *order)
{
    for (size_t i = 0; i < n; i++)
        order[i] = (uint32_t)i;
    return (struct range){v, order};
}

void csm_sort_torch_cpu(const float *v, size_t n, uint32_t *order)
{
    sort(all_of(v, n, order), n);
}

void csm_lowest_torch_cpu(const float *v, size_t n, size_t k, uint32_t *order)
{
    struct range r = all_of(v, n, order);
    if (k * 64 <= n) {
        select_by_heap(r, k, n);
        sort_heap(r, k);
    } else {
        nth_element(r, k - 1, n);
        sort(r, k - 1);
    }
}
