# jansson and PCRE2 of the system (its development packages), not of Conan's registry.
include(default)
[platform_requires]
jansson/2.14
pcre2/10.42
[conf]
tools.build:jobs=2
