"""`aspot s3`: buckets listed, objects copied both ways, taken up again, removed; one clear line for what cannot be."""

import json
import os
import signal
from pathlib import Path

import pytest
from processes import Piped

from aspot.cli.main import main

MIB = 1 << 20


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def write(path, content):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(content if isinstance(content, bytes) else content.encode())


def test_a_folder_goes_to_s3_and_comes_back(aspot, bucket, held):
    contents = {"a.txt": b"one", "sub/ü +%&.txt": b"two", "empty": b"", "big": os.urandom(19 * MIB)}
    for name, content in contents.items():
        write(Path("here", name), content)
    assert aspot("s3", "sync", "here", f"s3://{bucket}/runs/1")[0] == 0
    assert held() == {f"runs/1/{name}": content for name, content in contents.items()}
    code, out, _ = aspot("s3", "sync", f"s3://{bucket}/runs/1/", "back", "--json")
    assert (code, sorted(json.loads(out)["copied"])) == (0, sorted(contents))
    assert json.loads(out)["bytes"] == sum(map(len, contents.values()))
    assert tree("back") == contents
    for words in (("here", f"s3://{bucket}/runs/1"), (f"s3://{bucket}/runs/1", "back")):
        code, out, _ = aspot("s3", "sync", *words, "--json")
        told = json.loads(out)
        assert (told["copied"], told["same"], told["bytes"]) == ([], 4, 0)


def test_only_what_changed_is_copied_and_what_is_gone_is_deleted_if_asked(aspot, bucket, held):
    write("here/same", "1")
    write("here/changed", "1")
    write("here/gone", "1")
    place = f"s3://{bucket}"
    aspot("s3", "sync", "here", place)
    write("here/changed", "2")
    os.unlink("here/gone")
    code, out, _ = aspot("s3", "sync", "here", place, "--delete", "--dry-run")
    assert (code, out.splitlines()) == (0, ["would copy changed", "would delete gone"])
    assert held()["changed"] == b"1"
    aspot("s3", "sync", "here", place)
    assert held() == {"same": b"1", "changed": b"2", "gone": b"1"}
    aspot("s3", "sync", "here", place, "--delete")
    assert held() == {"same": b"1", "changed": b"2"}
    write("back/else", "x")
    aspot("s3", "sync", place, "back", "--delete")
    assert tree("back") == {"same": b"1", "changed": b"2"}
    write("back/changed", "3")  # same size, newer than the object: a sync makes the destination like the source
    aspot("s3", "sync", place, "back")
    assert tree("back")["changed"] == b"2"


def test_a_change_that_keeps_size_and_time_is_found_by_its_content(aspot, bucket, held):
    write("here/a", "1")
    aspot("s3", "sync", "here", f"s3://{bucket}")
    write("here/a", "2")
    os.utime("here/a", (1e9, 1e9))
    aspot("s3", "sync", "here", f"s3://{bucket}")
    assert held() == {"a": b"1"}
    aspot("s3", "sync", "here", f"s3://{bucket}", "--checksum")
    assert held() == {"a": b"2"}


def test_what_is_at_the_source_and_cannot_be_copied_is_not_deleted(aspot, bucket, held, cloud):
    cloud.client("s3").put_object(Bucket=bucket, Key="link/x", Body=b"kept")
    write("elsewhere/x", "1")
    Path("here").mkdir()
    Path("here/link").symlink_to("../elsewhere")
    code, _, err = aspot("s3", "sync", "here", f"s3://{bucket}", "--delete")
    assert (code, held()) == (0, {"link/x": b"kept"})
    assert "left out: link (link to a folder)" in err


def test_objects_whose_names_lead_out_stay_there(aspot, bucket, cloud):
    s3 = cloud.client("s3")
    for key in ("in/../../evil", "in//a", "in/good", "in/folder/"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"1")
    code, _, err = aspot("s3", "sync", f"s3://{bucket}/in", "back")
    assert code == 3
    assert tree("back") == {"good": b"1"}
    assert not Path("../evil").exists()
    assert "not copied: ../../evil: no file can be called so" in err


def test_one_file(aspot, bucket, held):
    write("a.txt", "1")
    assert aspot("s3", "cp", "a.txt", f"s3://{bucket}")[0] == 0
    assert aspot("s3", "cp", "a.txt", f"s3://{bucket}/sub/")[0] == 0
    assert aspot("s3", "cp", "a.txt", f"s3://{bucket}/b.txt")[0] == 0
    assert set(held()) == {"a.txt", "sub/a.txt", "b.txt"}
    Path("d").mkdir()
    assert aspot("s3", "cp", f"s3://{bucket}/sub/a.txt", "d")[0] == 0
    assert aspot("s3", "cp", f"s3://{bucket}/b.txt", "c.txt")[0] == 0
    assert Path("d/a.txt").read_text() == Path("c.txt").read_text() == "1"


def test_an_upload_goes_on_after_a_break(aspot, bucket, held, cloud, start):
    content = os.urandom(120 * MIB)
    write("big", content)
    process = start(Piped, "s3", "cp", "big", f"s3://{bucket}/big")
    while cloud.calls().get("UploadPart", 0) < 2:
        assert process._process.poll() is None, process.err
    process.signal(signal.SIGKILL)
    process.end()
    sent = _parts(cloud, bucket)
    assert 0 < len(sent) < 15
    cloud.forget_calls()
    assert aspot("s3", "cp", "big", f"s3://{bucket}/big")[0] == 0
    assert cloud.calls()["UploadPart"] == 15 - len(sent)
    assert held() == {"big": content}
    assert not list(Path(os.environ["ASPOT_STATE_DIR"], "uploads").iterdir())


def _parts(cloud, bucket):
    s3 = cloud.client("s3")
    (upload,) = s3.list_multipart_uploads(Bucket=bucket)["Uploads"]
    return s3.list_parts(Bucket=bucket, Key="big", UploadId=upload["UploadId"]).get("Parts", [])


def test_a_download_goes_on_after_a_break(aspot, bucket, cloud, start):
    content = os.urandom(60 * MIB)
    write("big", content)
    aspot("s3", "cp", "big", f"s3://{bucket}/big")
    cloud.forget_calls()
    process = start(Piped, "s3", "cp", f"s3://{bucket}/big", "back")
    note = Path(".back.aspot-part-note")
    while not note.exists() or len(note.read_text().splitlines()) < 3:
        assert process._process.poll() is None, process.err
    process.signal(signal.SIGKILL)
    process.end()
    assert not Path("back").exists()
    there = len(note.read_text().splitlines()) - 1
    cloud.forget_calls()
    assert aspot("s3", "cp", f"s3://{bucket}/big", "back")[0] == 0
    assert cloud.calls()["GetObject"] == 8 - there
    assert Path("back").read_bytes() == content
    assert sorted(os.listdir()) == ["back", "big"]


def test_a_part_that_changed_on_disk_meanwhile_is_fetched_again(aspot, bucket, cloud):
    write("big", os.urandom(17 * MIB))
    aspot("s3", "cp", "big", f"s3://{bucket}/big")
    etag = cloud.client("s3").head_object(Bucket=bucket, Key="big")["ETag"].strip('"')
    write(".back.aspot-part", bytes(17 * MIB))
    endpoint = cloud.env["AWS_ENDPOINT_URL"]
    lines = [f"{endpoint} s3://{bucket}/big {etag} {17 * MIB} {8 * MIB}", f"1 {'0' * 32}", ""]
    write(".back.aspot-part-note", "\n".join(lines))
    assert aspot("s3", "cp", f"s3://{bucket}/big", "back")[0] == 0
    assert Path("back").read_bytes() == Path("big").read_bytes()


def test_throttling_and_lost_answers_cost_time_only(aspot, bucket, held, cloud):
    write("here/a", "1")
    cloud.fault("throttle", action="PutObject", count=1)
    cloud.fault("lose-answer", action="ListObjectsV2", count=1)
    assert aspot("s3", "sync", "here", f"s3://{bucket}")[0] == 0
    assert held() == {"a": b"1"}


def test_a_bucket_of_another_region_is_found(aspot, bucket, held):
    write("here/a", "1")
    assert aspot("s3", "sync", "here", f"s3://{bucket}", "--region", "eu-west-1")[0] == 0
    assert held() == {"a": b"1"}


def test_listing(aspot, bucket, cloud):
    s3 = cloud.client("s3")
    for key in ("a.txt", "b/c", "b/\x1b[31md"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"12345")
    assert bucket in aspot("s3", "ls")[1]
    code, out, _ = aspot("s3", "ls", f"s3://{bucket}")
    assert (code, [line.split()[-1] for line in out.splitlines()]) == (0, ["b/", "a.txt"])
    code, out, _ = aspot("s3", "ls", "-r", f"s3://{bucket}/b/")
    assert "\x1b" not in out
    code, out, _ = aspot("s3", "ls", "-r", f"s3://{bucket}", "--json")
    assert next((item["key"], item["size"]) for item in json.loads(out)) == ("a.txt", 5)


def test_removing(aspot, bucket, held, cloud):
    s3 = cloud.client("s3")
    for key in ("a", "p/1", "p/2", "p2"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"1")
    assert aspot("s3", "rm", f"s3://{bucket}/a")[0] == 0
    assert "--yes" in aspot("s3", "rm", "-r", f"s3://{bucket}/p")[2]
    assert aspot("s3", "rm", "-r", f"s3://{bucket}/p", "--dry-run")[1].count("would delete") == 2
    assert set(held()) == {"p/1", "p/2", "p2"}
    assert aspot("s3", "rm", "-r", "--yes", f"s3://{bucket}/p")[0] == 0
    assert set(held()) == {"p2"}


def test_uploads_that_broke_off_can_be_dropped(aspot, bucket, cloud):
    s3 = cloud.client("s3")
    s3.create_multipart_upload(Bucket=bucket, Key="half")
    assert "half" in aspot("s3", "rm", "--unfinished", "--dry-run", f"s3://{bucket}")[1]
    assert aspot("s3", "rm", "--unfinished", f"s3://{bucket}")[0] == 0
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


NONE = "s3://no-such-bucket-of-anyone"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("ls", "bucket"), 2, "'bucket' is not a place in S3"),
        (("ls", NONE), 2, "there is no bucket 'no-such-bucket-of-anyone'"),
        (("sync", ".", NONE), 2, "there is no bucket"),
        (("sync", NONE, "x"), 2, "there is no bucket"),
        (("cp", f"{NONE}/a", "x"), 2, "there is no bucket"),
        (("cp", "s3://{bucket}/none", "x"), 2, "there is no object s3://{bucket}/none"),
        (("sync", "s3://{bucket}/none", "x"), 2, "there is nothing in s3://{bucket}/none"),
        (("rm", "s3://{bucket}/none"), 2, "there is no object"),
        (("rm", "s3://{bucket}"), 2, "is no object"),
        (("cp", "none", "s3://{bucket}/a"), 2, "no such file here: none"),
        (("cp", ".", "s3://{bucket}/a"), 2, ". is a folder"),
        (("sync", "none", "s3://{bucket}/a"), 2, "no such file here: none"),
        (("sync", "a", "b"), 2, "one side of a copy is in S3"),
    ],
)
def test_what_cannot_be_is_one_error(aspot, bucket, words, code, said):
    found = aspot("s3", *(word.format(bucket=bucket) for word in words))
    assert found[0] == code, found
    assert found[2].startswith(f"error: {said.format(bucket=bucket)}") or said.format(bucket=bucket) in found[2]
    assert "Traceback" not in found[2]
    assert os.listdir() == []


def test_a_missing_permission_is_named(aspot, bucket, cloud):
    write("here/a", "1")
    cloud.fault("deny", action="PutObject")
    code, _, err = aspot("s3", "sync", "here", f"s3://{bucket}")
    assert code == 3
    assert "the permission s3:PutObject is missing" in err
    cloud.fault("deny", action="ListObjectsV2")
    code, _, err = aspot("s3", "ls", f"s3://{bucket}")
    assert code == 3
    assert "the permission s3:ListBucket is missing" in err
    cloud.clear_faults()


def test_a_file_that_cannot_be_read_or_written_keeps_no_other_back(aspot, bucket, cloud, held):
    s3 = cloud.client("s3")
    for key in ("a", "a/b", "c"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"1")
    code, _, err = aspot("s3", "sync", f"s3://{bucket}", "back")
    assert code == 3
    assert tree("back")["c"] == b"1"
    assert err.count("not copied") == 1


def test_an_object_in_parts_of_an_unusual_size_comes_all_the_same(aspot, bucket, cloud):
    s3, content = cloud.client("s3"), os.urandom(18 * MIB)
    upload = s3.create_multipart_upload(Bucket=bucket, Key="odd")["UploadId"]
    parts = []
    for number in (1, 2, 3):
        body = content[(number - 1) * 6 * MIB : number * 6 * MIB]
        answer = s3.upload_part(Bucket=bucket, Key="odd", UploadId=upload, PartNumber=number, Body=body)
        parts.append({"PartNumber": number, "ETag": answer["ETag"]})
    s3.complete_multipart_upload(Bucket=bucket, Key="odd", UploadId=upload, MultipartUpload={"Parts": parts})
    code, _, err = aspot("s3", "cp", f"s3://{bucket}/odd", "back")
    assert code == 0, err
    assert Path("back").read_bytes() == content


def test_a_large_object_that_was_put_at_once_is_verified(aspot, bucket, cloud):
    content = os.urandom(18 * MIB)
    cloud.client("s3").put_object(Bucket=bucket, Key="one", Body=content)
    assert aspot("s3", "cp", f"s3://{bucket}/one", ".")[0] == 0
    assert Path("one").read_bytes() == content
    assert aspot("s3", "sync", f"s3://{bucket}", ".", "--checksum", "--dry-run")[2].startswith("0 files to copy")


def test_ctrl_c_says_that_the_same_command_goes_on(bucket, cloud, start):
    write("big", os.urandom(120 * MIB))
    process = start(Piped, "s3", "cp", "big", f"s3://{bucket}/big")
    while cloud.calls().get("UploadPart", 0) < 2:
        assert process._process.poll() is None, process.err
    process.signal(signal.SIGINT)
    assert process.end() == 130
    assert "stopped; the same command goes on from here" in process.err
    assert "Traceback" not in process.err
    assert main(["s3", "rm", "--unfinished", f"s3://{bucket}"]) == 0
