# tench: what a person types. Everything else is in bin/tench, see bin/tench --help.
#
#   make image  [BOARD=qemu-amd64] [CONFIG=my/router.toml] [RELEASE=NAME]   build a stick image
#   make run    [BOARD=qemu-amd64] [FIRMWARE=bios|uefi] [RELEASE=NAME]      boot it in QEMU
#   make flash  [BOARD=qemu-amd64] [DEV=/dev/sdX] [IDENTITY=gw0] [CONFIG=gw0.toml]   write it to a stick; without DEV: to which?
#   make update HOST=gw0 [BOARD=qemu-amd64] [KEY=dev.sec]   build, and send the slot to a box
#   make pxe IFACE=eth1 [BOARD=qemu-amd64]                   whatever boots on eth1 runs the board's image from RAM
#   make test                                                everything CI runs
#   make test-boards [BOARDS=all] [ANEW=yes]                 build boards, boot each in QEMU, try U-Boot's slots, build each again
#   make release KEY=tench.sec [SINCE=DIR] [BOARDS=all]      a signed release, see tench release --help
#   make bench [BOARDS="apu2 vm" | BOARDS=all]              the numbers, with the commands behind them

BOARD    ?= qemu-amd64
CONFIG   ?=
FIRMWARE ?=
BOARDS   ?=
RELEASE  ?=
KEY      ?=
SINCE    ?=
DEV      ?=
IDENTITY ?=
HOST     ?=
IFACE    ?=
ANEW     ?=
# What make test builds and boots beside the default board: another CPU, no
# cross compiler.
CROSS_BOARD ?= alix2d3

GOTESTSUM   = go run gotest.tools/gotestsum@v1.13.0
STATICCHECK = go run honnef.co/go/tools/cmd/staticcheck@v0.7.0
export CGO_ENABLED = 0

.PHONY: help image run flash update test test-boards unit lint labs bench clean bin/tench boards build release pxe config supervisor overlays

help:
	@sed -n 's/^#   //p' Makefile

bin/tench:
	@command -v go >/dev/null || { echo "tench needs Go 1.26 or newer: https://go.dev/dl/"; exit 1; }
	@go build -trimpath -o bin/tench ./cmd/tench

image: bin/tench
	@bin/tench doctor --quiet --install --for build $(BOARD)
	@bin/tench image $(BOARD) $(if $(CONFIG),--config "$(CONFIG)") $(if $(RELEASE),--release $(RELEASE))

run: bin/tench
	@bin/tench doctor --quiet --install --for run $(BOARD)
	@bin/tench run $(BOARD) $(if $(FIRMWARE),--firmware $(FIRMWARE)) $(if $(RELEASE),--release $(RELEASE))

flash: bin/tench
	@bin/tench flash $(BOARD) $(if $(DEV),"$(DEV)") $(if $(IDENTITY),--identity "$(IDENTITY)") $(if $(CONFIG),--config "$(CONFIG)") $(if $(RELEASE),--release $(RELEASE))

# needs-X stops before a long build where X was not given.
needs-%:
	@test -n "$($*)" || { echo "$* is missing, see make help"; exit 1; }

update: needs-HOST image
	@bin/tench update $(if $(KEY),--key "$(KEY)") $(HOST) out/$(if $(RELEASE),$(RELEASE)/)$(BOARD)

pxe: needs-IFACE image
	@bin/tench pxe run $(BOARD) -i "$(IFACE)" $(if $(CONFIG),--config "$(CONFIG)") $(if $(RELEASE),--release out/$(RELEASE)/$(BOARD) --unsigned)

test: bin/tench
	@bin/tench doctor --quiet --install --for build,run,test $(BOARD) $(CROSS_BOARD)
	@$(MAKE) --no-print-directory lint
	@bin/tench image $(BOARD)
	@bin/tench image $(CROSS_BOARD)
	@TENCH_LAB=yes TENCH_BOARDS=$(CROSS_BOARD) TENCH_TWICE=$(BOARD) $(GOTESTSUM) --format testname -- -timeout 60m -p 1 ./...

release: BOARDS := $(or $(BOARDS),all)
release: bin/tench
	@bin/tench doctor --quiet --install --for build $(if $(filter all,$(BOARDS)),--all-boards,$(BOARDS))
	@bin/tench release $(if $(filter all,$(BOARDS)),--all-boards,$(BOARDS)) $(if $(KEY),--key "$(KEY)") $(if $(SINCE),--since "$(SINCE)") $(if $(RELEASE),--release $(RELEASE))

test-boards: BOARDS := $(or $(BOARDS),all)
test-boards: bin/tench
	@bin/tench doctor --quiet --install $(if $(filter all,$(BOARDS)),--all-boards,$(BOARDS))
	@TENCH_LAB=yes TENCH_BOARDS="$(BOARDS)" TENCH_TWICE="$(BOARDS)" TENCH_TWICE_ANEW="$(ANEW)" $(GOTESTSUM) --format testname -- -timeout 240m -run 'TestBoards|TestBoardSlots|TestPXEOtherWays|TestPXERunUBoot|TestSameBytes' ./labs

unit: bin/tench
	@$(GOTESTSUM) --format pkgname -- ./...

lint:
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "not gofmt-ed:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	@go vet ./...
	@$(STATICCHECK) ./...
	@GOOS=linux GOARCH=386 GO386=softfloat go build -o /dev/null ./cmd/tenchd
	@GOOS=linux GOARCH=arm64 go build -o /dev/null ./cmd/tenchd

bench: bin/tench
	@bin/tench doctor --quiet --install --for build,run,test $(if $(filter all,$(BOARDS)),--all-boards,$(BOARD) $(BOARDS))
	@bin/tench image $(BOARD)
	@TENCH_LAB=yes go test ./labs -run '^$$' -bench . -benchtime 3x -timeout 60m -v -skip 'Cold|ImageSize'
	@TENCH_LAB=yes go test ./pxe/tftp -run '^$$' -bench Beside -benchtime 5x -timeout 60m -v
	@TENCH_LAB=yes go test ./pxe/tftp -run '^$$' -bench Thousand -benchtime 1x -timeout 10m -v
	@TENCH_LAB=yes go test ./pxe/selftest -run '^$$' -bench Thousand -benchtime 1x -timeout 10m -v
	@TENCH_LAB=yes TENCH_BOARDS="$(BOARDS)" go test ./labs -run '^$$' -bench Cold -benchtime 1x -timeout 240m -v
	@TENCH_LAB=yes go test ./labs -run '^$$' -bench ImageSize -benchtime 1x -v

clean:
	rm -rf bin out
