import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Base64;

import org.apache.kafka.common.utils.Exit;

/**
 * Runs command-line tools one after the other in one Java machine, as starting one costs more than most tools do.
 * A line of input is one call, its fields Base64 between tabs: what the tool reads, the class, its arguments.
 * A line of output is its answer: the exit status, what the tool printed, what it complained of.
 */
public class Batch {
    static final class Exited extends Error {
        private static final long serialVersionUID = 1L;
    }

    /** The status that the tool asked for first: some catch what ends them and ask once more. */
    private static volatile Integer status;

    private static void exit(int code) {
        if (status == null) {
            status = code;
        }
        throw new Exited();
    }

    public static void main(String[] unused) throws Exception {
        BufferedReader calls = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream answers = System.out;
        Exit.setExitProcedure((code, message) -> exit(code));
        Exit.setHaltProcedure((code, message) -> exit(code));
        for (String line; (line = calls.readLine()) != null; ) {
            String[] fields = Arrays.stream(line.split("\t", -1)).map(Batch::decode).toArray(String[]::new);
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            ByteArrayOutputStream err = new ByteArrayOutputStream();
            System.setIn(new ByteArrayInputStream(fields[0].getBytes(StandardCharsets.UTF_8)));
            System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
            System.setErr(new PrintStream(err, true, StandardCharsets.UTF_8));
            status = null;
            try {
                Class.forName(fields[1]).getMethod("main", String[].class).invoke(null, (Object) Arrays.copyOfRange(fields, 2, fields.length));
            } catch (InvocationTargetException e) {
                if (!(e.getCause() instanceof Exited)) {
                    e.getCause().printStackTrace();
                    status = 1;
                }
            }
            int code = status == null ? 0 : status;
            System.out.flush();
            System.err.flush();
            answers.println(code + "\t" + encode(out) + "\t" + encode(err));
        }
    }

    private static String decode(String field) {
        return new String(Base64.getDecoder().decode(field), StandardCharsets.UTF_8);
    }

    private static String encode(ByteArrayOutputStream text) {
        return Base64.getEncoder().encodeToString(text.toByteArray());
    }
}
