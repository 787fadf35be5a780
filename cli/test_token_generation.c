/* SPDX-License-Identifier: Apache-2.0
 *
 * test_token_generation.c - tests for users: do the samplers draw what PyTorch and
 * MLX draw, and does the engine speak the tokens it should? Works without PyTorch
 * and MLX, and says what was left out for want of them. */
#include <stdio.h>

#include "command.h"
#include "options.h"
#include "token_tests.h"

static const char usage_text[] =
    "usage: test_token_generation --test-sampling\n"
    "       test_token_generation --text TEXT [OPTIONS]\n"
    "\n"
    "  --test-sampling   the samplers against known draws of PyTorch 2.13.0 and MLX\n"
    "                    0.32.4, against those installed here, and their distribution\n"
    "  --text TEXT       generate, and compare the tokens with PyTorch's if its engine\n"
    "                    is there, else with the native engine's exact ones\n"
    "  --use-exact       draw as PyTorch, in float32: the tokens must be the same, or\n"
    "                    differ where a race was as close as rounding. Without: their\n"
    "                    distributions must be alike\n"
    "  --teacher-forcing draw as PyTorch, in float32, after the reference's codes, frame\n"
    "                    by frame: at least 99.9 % of the draws must be equal, and each of\n"
    "                    the others won by no more than the logits differ\n"
    "  --engine NAME     what is tested: native, mlx (mlx where it is installed)\n"
    "  --iterations N    with so many seeds (3)      --seed N   the first of them (42)\n"
    "  --temperature T, --topk K                     (the model's)\n"
    "  --max-frames N    of each utterance (125)\n"
    "  --voice DIR       a model directory (the embedded voice)\n"
    "  --device NAME     cpu, gpu, cuda:0, mps (the engine's default)\n"
    "  --save-dir DIR    keep token files and a page for each comparison\n"
    "  --save-hidden N   compare hidden states of the prompt and N frames, too, so that a\n"
    "                    verdict of logits names the first layer that differs (0)\n"
    "  --debug           say what was chosen, and each comparison in full\n"
    "\n"
    "PyTorch and MLX are looked for in $CSM_PYTHON, else in python3.\n"
    "Exit code 0: all that ran held. 1: something did not. 2: usage. 3: a file or model\n"
    "was refused. 4: an engine failed.\n";

int main(int argc, char **argv)
{
    struct text_test args = {
        .iterations = 3, .seed = 42, .max_frames = 125, .temperature = -1, .top_k = SIZE_MAX};
    bool is_sampling = false;
    const struct option_spec options[] = {
        {"test-sampling", OPTION_FLAG, &is_sampling},
        {"text", OPTION_SAY, &args.text},
        {"use-exact", OPTION_FLAG, &args.use_exact},
        {"teacher-forcing", OPTION_FLAG, &args.is_forced},
        {"engine", OPTION_TEXT, &args.engine},
        {"iterations", OPTION_COUNT, &args.iterations},
        {"seed", OPTION_SEED, &args.seed},
        {"temperature", OPTION_REAL, &args.temperature},
        {"topk", OPTION_SIZE, &args.top_k},
        {"max-frames", OPTION_COUNT, &args.max_frames},
        {"voice", OPTION_TEXT, &args.voice},
        {"device", OPTION_TEXT, &args.device},
        {"save-dir", OPTION_TEXT, &args.save_dir},
        {"save-hidden", OPTION_COUNT, &args.hidden_frames},
        {"debug", OPTION_FLAG, &args.debug},
        {NULL, OPTION_FLAG, NULL},
    };
    enum parsed parsed = parse_options(argc, argv, options, usage_text, NULL, 0);
    if (parsed != PARSED)
        return parsed == PARSED_HELP ? EXIT_OK : EXIT_USAGE;
    if (is_sampling == (args.text != NULL)) {
        fputs("csm: test_token_generation: expected --test-sampling or --text TEXT; --help tells "
              "more\n",
              stderr);
        return EXIT_USAGE;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    return args.text != NULL ? test_text(&args) : test_samplers();
}
