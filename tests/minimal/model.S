/* SPDX-License-Identifier: Apache-2.0
   model.S - the embedded voice as data; assembled with -I voice/model. */
    .section .rodata
    .macro file name, path
    .balign 64
    .global \name\()_begin
    .global \name\()_end
\name\()_begin:
    .incbin "\path"
\name\()_end:
    .byte 0
    .endm
    file config, "config.json"
    file generation_config, "generation_config.json"
    file tokenizer, "tokenizer.json"
    file model, "model.safetensors"
    file mimi, "mimi.safetensors"
    .section .note.GNU-stack, "", %progbits
