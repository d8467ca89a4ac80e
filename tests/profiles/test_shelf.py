"""What a profile comes down to: project before user before built-in, then what it extends, then `default`."""

import pytest

from aspot.aws.images import NAMED
from aspot.errors import ConfigError
from aspot.intake.options import FleetOptions
from aspot.profiles import Profile, resolve
from aspot.profiles.builtin import BUILT_IN, COMMON, GPU_DISK_GB, RETIRED
from aspot.profiles.profile import IMAGES, INSTANCE_TYPE, USUAL_ALLOCATION
from aspot.profiles.shelf import Shelf


def test_without_any_file_the_usual_holds():
    found = resolve("default")
    assert (found.types, found.market, found.disk) == (BUILT_IN["default"]["types"], "spot", 8)
    assert (found.region, found.image, found.max_price, found.setup) == (None, None, None, None)


@pytest.mark.parametrize("name", ["t2.micro", "c7g.large", "p3dn.24xlarge", "x8g.metal-48xl"])
def test_the_name_of_any_instance_type_is_a_profile(name):
    assert resolve(name) == Profile(name, types=name, market="spot", allocation=USUAL_ALLOCATION, disk=8)


@pytest.mark.parametrize("name", ["gpu", "gpu-h100", "g5.xlarge", "p5.48xlarge", *RETIRED])
def test_machines_with_gpus_come_with_a_driver_and_room_for_it(name):
    found = resolve(name)
    assert found.image.startswith("/aws/service/deeplearning/ami/x86_64/")
    assert found.disk == GPU_DISK_GB


def test_the_driver_s_image_is_of_the_machine_s_architecture():
    assert "/arm64/" in resolve("g5g.xlarge").image


def test_every_built_in_profile_works_and_every_common_type_is_one():
    for name in (*BUILT_IN, *COMMON):
        assert all(INSTANCE_TYPE.fullmatch(kind) for kind in resolve(name).types)
    assert {"t2.micro", "p2.xlarge", "p3.2xlarge", "t4g.micro", "m7g.large", "r7i.large", "p5.48xlarge"} <= {*COMMON}


def test_images_with_names_are_those_that_can_be_launched():
    assert set(IMAGES) == set(NAMED)


def test_the_project_counts_before_the_user_and_both_before_what_is_built_in(user, project):
    user("[gpu]\nmax_price = 1\nuser = 'me'\n[default]\nregion = 'eu-west-1'\nmarket = 'spot-first'\n")
    project("[profiles.gpu]\nmax_price = 2\n")
    found = resolve("gpu")
    assert (found.max_price, found.user, found.region, found.market) == (2.0, "me", "eu-west-1", "spot-first")
    assert found.types == BUILT_IN["gpu"]["types"]
    assert resolve("c7g.large").region == "eu-west-1", "what default says holds for all"


def test_a_profile_extends_another_by_name(user):
    user("[train]\nextends = 'gpu'\nmax_price = 1\n[big]\nextends = 'train'\ntypes = ['p4d.24xlarge']\n")
    found = resolve("big")
    assert (found.types, found.max_price, found.image) == (("p4d.24xlarge",), 1.0, BUILT_IN["gpu"]["image"])


def test_python_extends_what_files_say(user):
    user("[train]\nextends = 'gpu'\nmax_price = 1\ndisk = '200 GB'\n")
    found = resolve(Profile("train", max_price=3, market="spot"))
    assert (found.max_price, found.disk, found.types) == (3.0, 200, BUILT_IN["gpu"]["types"])
    assert resolve(found) == found
    assert resolve(Profile(types="m5.large")).types == ("m5.large",)


def test_a_fleet_takes_what_the_files_say(user):
    user("[default]\nmax_price = 0.5\nmarket = 'on-demand'\ndisk = 30\nregion = 'eu-west-1'\n")
    options = FleetOptions.check(None, "default", {})
    spec = options.run_spec("id", "name", options.profile.region)
    assert (spec.region, spec.market, spec.max_price_usd, spec.disk_gb) == ("eu-west-1", "on-demand", 0.5, 30)


def test_an_unknown_name_is_met_with_the_nearest(user):
    user("[training]\n")
    for wrong, near in (("trainig", "'training'"), ("gpuu", "'gpu'"), ("nothing-at-all", "aspot profiles ls")):
        with pytest.raises(ConfigError, match=f"there is no profile '{wrong}'") as caught:
            resolve(wrong)
        assert near in caught.value.fix


def test_an_unknown_base_is_told_with_its_line(user):
    path = user("[train]\n\nextends = 'gpuu'\n")
    with pytest.raises(ConfigError, match=f"{path}:3: .*there is no profile 'gpuu'") as caught:
        resolve("train")
    assert "'gpu'" in caught.value.fix
    with pytest.raises(ConfigError, match=f"{path}:3"):
        Shelf.open().check()


def test_a_loop_is_refused_with_the_way_it_goes(user):
    path = user("[a]\nextends = 'b'\n[b]\nextends = 'c'\n[c]\nextends = 'a'\n[d]\nextends = 'd'\n")
    with pytest.raises(ConfigError, match=f"{path}:6: .*a → b → c → a"):
        resolve("a")
    with pytest.raises(ConfigError, match=f"{path}:8: .*d → d"):
        resolve("d")


def test_default_may_extend_another_and_all_have_it_then(user):
    user("[default]\nextends = 'house'\n[house]\nuser = 'me'\nextends = 'arm'\n")
    assert (resolve("default").user, resolve("default").types) == ("me", BUILT_IN["arm"]["types"])
    assert (resolve("house").user, resolve("cpu").user, resolve("t2.micro").user) == ("me", "me", "me")


def test_zones_hold_in_their_own_region(user):
    path = user("[default]\nzones = ['us-east-1a']\n[far]\nregion = 'eu-west-1'\n")
    assert resolve(Profile(region="eu-west-1")).zones == resolve("far").zones == ()
    assert resolve(Profile(region="us-east-1")).zones == resolve("gpu").zones == ("us-east-1a",)
    user("[a]\nregion = 'eu-west-1'\nzones = ['us-east-1a']\n")
    with pytest.raises(ConfigError, match=f"{path}:3: .*us-east-1a is not in eu-west-1"):
        resolve("default")


def test_a_login_user_belongs_to_the_image_it_was_named_with(user):
    user(
        "[default]\nimage = 'ami-0123'\nuser = 'me'\n[deb]\nimage = 'debian-12'\n[own]\nextends = 'deb'\nuser = 'us'\n"
    )
    users = {name: resolve(name).user for name in ("cpu", "c7g.large", "gpu", "deb", "own")}
    assert users == {"cpu": "me", "c7g.large": "me", "gpu": None, "deb": None, "own": "us"}
    assert resolve(Profile("cpu", image="al2023")).user is None
    assert resolve(Profile("cpu", image="al2023", user="x")).user == "x"
    assert resolve(resolve("own")) == resolve("own")


def test_a_setup_script_is_a_path_from_where_it_is_written_or_text(user, project, tmp_path):
    path = user('[a]\nsetup = "s.sh"\n[b]\nsetup = """\\\npip install x\n"""\n[c]\nsetup = "no.sh"\n')
    (path.parent / "s.sh").write_text("echo from the file\n")
    assert resolve("a").setup == "echo from the file\n"
    assert resolve("b").setup == "pip install x\n"
    with pytest.raises(
        ConfigError, match=rf"{path}:8: the setup script .*no\.sh cannot be read: No such file"
    ) as caught:
        resolve("c")
    assert "several lines" in caught.value.fix
    script = tmp_path / "mine.sh"
    script.write_text("echo mine\n")
    assert resolve(Profile("c", setup=script)).setup == "echo mine\n"
    assert resolve(Profile(setup=str(script))).setup == "echo mine\n"
    assert resolve(Profile(setup="pip install numpy")).setup == "pip install numpy"
    assert resolve(Profile(setup="x" * 5000)).setup == "x" * 5000
    with pytest.raises(ConfigError, match="cannot be read"):
        resolve(Profile(setup=tmp_path / "none.sh"))


@pytest.mark.parametrize(
    "options",
    [
        {"user": ""}, {"user": 3}, {"region": ""}, {"zones": [1]}, {"image": "ami-XYZ"}, {"setup": ""}, {"setup": 3},
        {"key_pair": ""}, {"security_group": "sg-a b"}, {"security_group": "a\nb"},
        {"market": "bid"}, {"max_price": 0}, {"disk": "-1"},
        {"firewall": "me"}, {"zones": "eu-west-1a", "region": "us-east-1"}, {"base": 3},
    ],
    ids=str,
)  # fmt: skip
def test_an_option_that_cannot_work_is_refused(options):
    with pytest.raises(ConfigError) as caught:
        Profile(**options)
    assert caught.value.fix


def test_one_region_stands_for_several_and_several_for_one(user):
    user(
        "[default]\nregion = 'us-west-2'\n[far]\nregions = ['us-east-1', 'eu-west-1']\n"
        "[near]\nextends = 'far'\nregion = 'eu-west-1'\n"
    )
    assert resolve("far").everywhere == ("us-east-1", "eu-west-1")
    assert (resolve("near").everywhere, resolve("default").everywhere) == (("eu-west-1",), ("us-west-2",))
    assert resolve(Profile("far", region="us-west-2")).everywhere == ("us-west-2",)
    assert resolve(Profile(regions=["us-east-1", "us-east-2"])).everywhere == ("us-east-1", "us-east-2")
    assert Profile().everywhere == ()


def test_zones_hold_in_the_regions_they_cover(user):
    user("[default]\nregions = ['us-east-1', 'eu-west-1']\nzones = ['us-east-1a', 'eu-west-1b']\n")
    assert resolve("default").zones == ("us-east-1a", "eu-west-1b")
    assert resolve(Profile(regions=["eu-west-1", "us-east-1"])).zones == ("us-east-1a", "eu-west-1b")
    assert resolve(Profile(region="us-east-1")).zones == ()
    assert resolve(Profile(regions=["us-east-1", "us-west-2"])).zones == ()


def test_what_is_in_one_region_only_cannot_go_with_several_that_another_profile_names(user):
    user("[default]\nimage = 'ami-0abc'\n[far]\nregions = ['us-east-1', 'eu-west-1']\n")
    with pytest.raises(ConfigError, match="ami-0abc is in one region"):
        resolve("far")


def test_something_that_lives_in_one_region_takes_the_first():
    many = Profile(regions=["us-east-1", "eu-west-1"], zones=["us-east-1a", "eu-west-1b"])
    assert many.in_one_region() == Profile(region="us-east-1", zones=["us-east-1a"])
    assert many.in_one_region("eu-west-1") == Profile(region="eu-west-1", zones=["eu-west-1b"])
    assert Profile().in_one_region() == Profile()
