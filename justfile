# A menu: every recipe is one line that calls cargo or cargo xtask.

# Draw a picture with the embedded model.
generate prompt="a red apple" out="apple.png":
    cargo run --release -- generate "{{prompt}}" -o {{out}}

# Pass every test.
test:
    cargo xtask test

# A first check of uncommitted changes.
quick:
    cargo xtask test --quick

# Formatting and lints only.
lint:
    cargo xtask lint

# Compare a folder of reference cases.
golden dir="tests/golden":
    cargo xtask golden {{dir}}

# The processor's kernels in emulators: "arm" or "avx512".
levels name="arm":
    cargo xtask levels {{name}}

# Build the edge component and compose it with its provider.
edge:
    cargo xtask edge

# Build page, component and program into one, and start it.
serve *options:
    cargo xtask serve {{options}}

# Time a component beside diffusers.
bench name="sd15-unet":
    cargo xtask bench {{name}}

# Look for inputs that break a parser.
fuzz target="safetensors" seconds="600":
    cargo xtask fuzz {{target}} {{seconds}}

# Build the static site.
web:
    cargo xtask web

# Test the site in Chromium.
e2e:
    cargo xtask e2e
